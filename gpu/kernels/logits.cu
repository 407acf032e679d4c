// What is read of logits, without bringing them to the host.

// The logarithm of the sum of the exponentials of each row, and the row's logits of `width` tokens. One block a row.
extern "C" __global__ void pick_logits(const float *logits, const int *ids, int vocabulary, int width, float *chosen,
                                       float *log_sum) {
    __shared__ float scratch[32];
    const float *row = logits + (u64)blockIdx.x * vocabulary;
    float largest = -INFINITY;
    for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) largest = fmaxf(largest, row[i]);
    largest = warp_max(largest);
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = largest;
    __syncthreads();
    for (int warp = 0; warp < blockDim.x / 32; warp++) largest = fmaxf(largest, scratch[warp]);
    float sum = 0;
    for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) sum += expf(row[i] - largest);
    sum = block_sum(sum, scratch);
    if (threadIdx.x < width)
        chosen[(u64)blockIdx.x * width + threadIdx.x] = row[ids[(u64)blockIdx.x * width + threadIdx.x]];
    if (threadIdx.x == 0) log_sum[blockIdx.x] = logf(sum) + largest;
}
