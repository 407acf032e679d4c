// From pre-activations to sparse features, without a dense activation anywhere.

// How the nonlinearity lets a feature fire: above its threshold (0 for ReLU).
__device__ __forceinline__ float activation(float a, const float *bias, const float *threshold, int feature) {
    a += bias[feature];
    return a > (threshold ? threshold[feature] : 0.0f) && a > 0 ? a : 0;
}

constexpr int BINS = 2048;       // by exponent and the first bits of the mantissa
constexpr int CANDIDATES = 2048; // of the bin where the last kept one is

__device__ __forceinline__ int bin_of(float f) { return __float_as_int(f) >> 20; }

// A key that sorts by value from high to low, then by feature from low to high.
__device__ __forceinline__ u64 key_of(float f, int feature) { return ((u64)__float_as_uint(f) << 32) | (~(u32)feature); }

// The `kept` largest of the features that fire in each row, sorted, and what all of them have together. One block a row.
// `top` is how many fire at most, 0 for no such limit (a top-k dictionary).
extern "C" __global__ void select_features(const float *a, const float *bias, const float *threshold, int d_sae,
                                           int kept, int top, int *index, float *value, float *l0, float *norm,
                                           float *share, u64 *cut) {
    __shared__ int bins[BINS];
    __shared__ u64 found[CANDIDATES];
    __shared__ float scratch[32];
    __shared__ int n_found, edge;
    const float *row = a + (u64)blockIdx.x * d_sae;
    for (int i = threadIdx.x; i < BINS; i += blockDim.x) bins[i] = 0;
    if (threadIdx.x == 0) { n_found = 0; edge = 0; }
    __syncthreads();
    float count = 0, squares = 0;
    for (int i = threadIdx.x * 4; i < d_sae; i += blockDim.x * 4) {
        float4 four = *(const float4 *)(row + i);
        float each[4] = {four.x, four.y, four.z, four.w};
        for (int j = 0; j < 4; j++) {
            float f = activation(each[j], bias, threshold, i + j);
            if (f > 0) { atomicAdd(&bins[bin_of(f)], 1); count++; squares += f * f; }
        }
    }
    count = block_sum(count, scratch);
    squares = block_sum(squares, scratch);
    int wanted = top ? max(top, kept) : kept;
    // The bin that holds the last one wanted: warp 0 walks from the highest bin, 32 at a time.
    if (threadIdx.x < 32) {
        int above = 0;
        for (int base = BINS - 32; base >= 0; base -= 32) {
            int here = bins[base + 31 - threadIdx.x], sum = here;
            for (int step = 1; step < 32; step *= 2) {
                int before = __shfl_up_sync(~0u, sum, step);
                if (threadIdx.x >= step) sum += before;
            }
            u32 reached = __ballot_sync(~0u, above + sum >= wanted);
            if (reached) { if (threadIdx.x == 0) edge = base + 32 - __ffs(reached); break; }
            above += __shfl_sync(~0u, sum, 31);
        }
    }
    __syncthreads();
    int least = edge;
    for (int i = threadIdx.x * 4; i < d_sae; i += blockDim.x * 4) {
        float4 four = *(const float4 *)(row + i);
        float each[4] = {four.x, four.y, four.z, four.w};
        for (int j = 0; j < 4; j++) {
            float f = activation(each[j], bias, threshold, i + j);
            if (f > 0 && bin_of(f) >= least) {
                int place = atomicAdd(&n_found, 1);
                if (place < CANDIDATES) found[place] = key_of(f, i + j);
            }
        }
    }
    __syncthreads();
    // More candidates than there is room for: the row is marked and left to the plain way.
    int n = n_found;
    bool overflow = n > CANDIDATES;
    n = min(n, CANDIDATES);
    int size = 1;
    while (size < n) size *= 2;
    for (int i = n + threadIdx.x; i < size; i += blockDim.x) found[i] = 0;
    __syncthreads();
    for (int width = 2; width <= size; width *= 2)
        for (int step = width / 2; step > 0; step /= 2) {
            for (int i = threadIdx.x; i < size; i += blockDim.x) {
                int other = i ^ step;
                if (other > i) {
                    bool falling = (i & width) == 0;
                    u64 x = found[i], y = found[other];
                    if ((x < y) == falling) { found[i] = y; found[other] = x; }
                }
            }
            __syncthreads();
        }
    int fires = top ? min((int)count, top) : (int)count;
    int have = min(min(n, kept), fires);
    float all = 0, held = 0;
    for (int i = threadIdx.x; i < min(n, fires); i += blockDim.x) {
        float f = __uint_as_float((u32)(found[i] >> 32));
        all += f * f;
        if (i < kept) held += f * f;
    }
    all = block_sum(all, scratch);
    held = block_sum(held, scratch);
    if (top && (int)count > top) squares = all;
    for (int i = threadIdx.x; i < kept; i += blockDim.x) {
        index[(u64)blockIdx.x * kept + i] = i < have ? (int)~(u32)found[i] : 0;
        value[(u64)blockIdx.x * kept + i] = i < have ? __uint_as_float((u32)(found[i] >> 32)) : 0;
    }
    if (threadIdx.x == 0) {
        l0[blockIdx.x] = overflow ? -1 : fires;
        norm[blockIdx.x] = sqrtf(squares);
        share[blockIdx.x] = fires <= kept ? 1 : held / squares;
        // The last key that fires; rows without a limit have all.
        cut[blockIdx.x] = top && (int)count > top ? found[top - 1] : 0;
    }
}

constexpr int LIST = 1024;  // features gathered before their decoder rows are added

// The norm of each row x, and of what all its active features leave unexplained: x - scale * (sum of f * decoder row +
// b_dec). One block of 256 threads a row; `d_in` is at most
// 1,024 times WIDE.
extern "C" __global__ void unexplained(const float *a, const float *bias, const float *threshold, const u64 *cut,
                                       int d_sae, const T *decoder, const float *b_dec, const T *x, int d_in,
                                       float input_scale, float *residual_norm, float *error) {
    __shared__ int features[LIST];
    __shared__ float values[LIST];
    __shared__ float scratch[32];
    __shared__ int of_warp[8];
    const float *row = a + (u64)blockIdx.x * d_sae;
    u64 last = cut[blockIdx.x];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    constexpr int PARTS = 4;
    float sums[PARTS][WIDE] = {};
    for (int base = 0; base < d_sae; base += LIST) {
        // Each thread looks at four features in a row and writes those that fire after those of the threads before it,
        // so that they are always added in the same order.
        int at = base + threadIdx.x * 4, fires = 0;
        float each[4] = {};
        if (at < d_sae) {
            float4 four = *(const float4 *)(row + at);
            float pre[4] = {four.x, four.y, four.z, four.w};
            for (int j = 0; j < 4; j++) {
                float f = activation(pre[j], bias, threshold, at + j);
                each[j] = f > 0 && key_of(f, at + j) >= last ? f : 0;
                fires += each[j] > 0;
            }
        }
        int place = fires;
        for (int step = 1; step < 32; step *= 2) {
            int before = __shfl_up_sync(~0u, place, step);
            if (lane >= step) place += before;
        }
        __syncthreads();
        if (lane == 31) of_warp[warp] = place;
        __syncthreads();
        place -= fires;
        int n = 0;
        for (int w = 0; w < 8; w++) {
            if (w < warp) place += of_warp[w];
            n += of_warp[w];
        }
        for (int j = 0; j < 4; j++)
            if (each[j] > 0) { features[place] = at + j; values[place++] = each[j]; }
        __syncthreads();
        for (int i = 0; i < n; i++) {
            const Wide *from = (const Wide *)(decoder + (u64)features[i] * d_in);
            for (int part = 0; part < PARTS; part++) {
                int column = part * 256 + threadIdx.x;
                if (column < d_in / WIDE) {
                    Wide some = from[column];
                    for (int j = 0; j < WIDE; j++) sums[part][j] += values[i] * to_f32(some.at[j]);
                }
            }
        }
    }
    float squares = 0, left = 0;
    for (int part = 0; part < PARTS; part++) {
        int at = part * blockDim.x + threadIdx.x;
        if (at < d_in / WIDE) {
            Wide here = ((const Wide *)(x + (u64)blockIdx.x * d_in))[at];
            for (int j = 0; j < WIDE; j++) {
                float value = to_f32(here.at[j]);
                float missing = value - (sums[part][j] + b_dec[at * WIDE + j]) * input_scale;
                squares += value * value;
                left += missing * missing;
            }
        }
    }
    squares = block_sum(squares, scratch);
    left = block_sum(left, scratch);
    if (threadIdx.x == 0) { residual_norm[blockIdx.x] = sqrtf(squares); error[blockIdx.x] = sqrtf(left); }
}
