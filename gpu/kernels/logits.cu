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
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        chosen[(u64)blockIdx.x * width + i] = row[ids[(u64)blockIdx.x * width + i]];
    if (threadIdx.x == 0) log_sum[blockIdx.x] = logf(sum) + largest;
}

// One token of each row: the first whose cumulative probability exceeds the row's draw in [0, 1), in the order of the
// vocabulary; without heat (`cold`, the inverse of the temperature, is 0) the likeliest, the first of equal ones. Each
// of 32 warps sums a segment of the row; the segment that the draw falls into is walked again. One block of 1,024 a row.
extern "C" __global__ void draw_tokens(const float *logits, const float *draws, int vocabulary, float cold, int *drawn) {
    __shared__ float largest[32], sums[32];
    __shared__ int places[32];
    const float *row = logits + (u64)blockIdx.x * vocabulary;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, size = (vocabulary + 31) / 32;
    int first = warp * size, end = min(first + size, vocabulary), place = vocabulary;
    float most = -INFINITY;
    for (int i = first + lane; i < end; i += 32)
        if (row[i] > most) {
            most = row[i];
            place = i;
        }
    for (int step = 1; step < 32; step *= 2) {
        float other = __shfl_xor_sync(~0u, most, step);
        int at = __shfl_xor_sync(~0u, place, step);
        if (other > most || (other == most && at < place)) {
            most = other;
            place = at;
        }
    }
    if (lane == 0) {
        largest[warp] = most;
        places[warp] = place;
    }
    __syncthreads();
    for (int w = 0; w < 32; w++)
        if (largest[w] > most || (largest[w] == most && places[w] < place)) {
            most = largest[w];
            place = places[w];
        }
    if (cold == 0) {
        if (threadIdx.x == 0) drawn[blockIdx.x] = place;
        return;
    }
    float sum = 0;
    for (int i = first + lane; i < end; i += 32) sum += expf((row[i] - most) * cold);
    for (int step = 1; step < 32; step *= 2) sum += __shfl_xor_sync(~0u, sum, step);
    if (lane == 0) sums[warp] = sum;
    __syncthreads();
    float total = 0, before = 0;
    for (int w = 0; w < 32; w++) total += sums[w];
    float target = draws[blockIdx.x] * total;
    int chosen = -1;
    for (int w = 0; w < 32; w++) {
        if (chosen >= 0 && before + sums[chosen] > target) break;
        if (sums[w] == 0) continue;
        if (chosen >= 0) before += sums[chosen];
        chosen = w;
    }
    if (warp != chosen) return;
    // Sums in another order may end a rounding below the draw: the last token that has any probability is taken then.
    int last = place;
    for (int base = first; base < end; base += 32) {
        int i = base + lane;
        float weight = i < end ? expf((row[i] - most) * cold) : 0, below = weight;
        for (int step = 1; step < 32; step *= 2) {
            float other = __shfl_up_sync(~0u, below, step);
            if (lane >= step) below += other;
        }
        u32 there = __ballot_sync(~0u, weight > 0), over = __ballot_sync(~0u, weight > 0 && before + below > target);
        if (there) last = base + 31 - __clz(there);
        if (over) {
            last = base + __ffs(over) - 1;
            break;
        }
        before += __shfl_sync(~0u, below, 31);
    }
    if (lane == 0) drawn[blockIdx.x] = last;
}
