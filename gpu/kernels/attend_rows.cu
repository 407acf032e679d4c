// What is kept of the pattern of captured blocks: of every query and head the strongest keys, how much they hold, and
// the entropy; of the queries that decide, all weights. One block makes 16 rows of one head at a time. The scores of
// its rows lie in `scratch`, which stays in the second-level cache: sequences may be of any length.

constexpr int ROWS = 16;

template <int D>
__device__ void score_rows(const T *q, const T *k, int4 tile, int q_stride, int kv_stride, float scale, float *scores,
                           int keys) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, quad = lane % 4, first = lane / 4;
    u32 queries[D / 16][4];
    for (int i = 0; i < D / 16; i++)
        for (int r = 0; r < 4; r++) {
            int query = min(first + (r % 2) * 8, tile.z - 1 - tile.w);
            queries[i][r] = *(const u32 *)(q + (u64)(tile.x + query) * q_stride + i * 16 + r / 2 * 8 + quad * 2);
        }
    for (int n = warp * 8; n < keys; n += blockDim.x / 32 * 8) {
        float c[4] = {};
        const T *key = k + (u64)(tile.y + min(n + first, keys - 1)) * kv_stride + quad * 2;
        for (int i = 0; i < D / 16; i++)
            mma(c, queries[i], *(const u32 *)(key + i * 16), *(const u32 *)(key + i * 16 + 8));
        for (int j = 0; j < 4; j++) {
            int at = n + quad * 2 + j % 2;
            if (at < keys) scores[(u64)(first + j / 2 * 8) * keys + at] = c[j] * scale;
        }
    }
}

// One warp makes one row. `decision` is the place of the row's weights in `whole`, or -1.
__device__ void keep_row(const float *scores, int seen, int kept, float *weights, int *places, float *mass,
                         float *entropy, float *whole) {
    int lane = threadIdx.x % 32;
    float largest = -INFINITY, total = 0, moment = 0;
    for (int i = lane; i < seen; i += 32) largest = fmaxf(largest, scores[i]);
    largest = warp_max(largest);
    for (int i = lane; i < seen; i += 32) {
        float below = scores[i] - largest, weight = __expf(below);
        total += weight;
        moment += weight * below;
    }
    total = warp_sum(total);
    moment = warp_sum(moment);
    if (whole)
        for (int i = lane; i < seen; i += 32) whole[i] = __expf(scores[i] - largest) / total;
    float held = 0, before = INFINITY;
    int before_at = -1;
    for (int n = 0; n < kept; n++) {
        // The strongest of those after the last one, the lower key first in a tie.
        float best = -INFINITY;
        int best_at = 0x7fffffff;
        for (int i = lane; i < seen; i += 32) {
            float score = scores[i];
            bool after = score < before || (score == before && i > before_at);
            if (after && (score > best || (score == best && i < best_at))) { best = score; best_at = i; }
        }
        for (int step = 16; step > 0; step /= 2) {
            float other = __shfl_xor_sync(~0u, best, step);
            int other_at = __shfl_xor_sync(~0u, best_at, step);
            if (other > best || (other == best && other_at < best_at)) { best = other; best_at = other_at; }
        }
        bool found = best_at != 0x7fffffff;
        float weight = found ? __expf(best - largest) / total : 0;
        held += weight;
        if (lane == 0) { weights[n] = weight; places[n] = found ? best_at : -1; }
        before = best;
        before_at = best_at;
    }
    if (lane == 0) {
        *mass = whole ? 1 : held;
        *entropy = fmaxf(logf(total) - moment / total, 0.0f);
    }
}

// `tiles` as for attend, but of 16 queries. `decisions` has for each packed row the place in `whole` of the first
// head's weights, or -1; each head's follow `step` after the other. Outputs are [head, tokens] and [head, tokens, kept].
extern "C" __global__ void attend_rows(const T *q, const T *k, const int4 *tiles, int n_tiles, int q_stride,
                                       int kv_stride, int heads, int group, float scale, float *scratch,
                                       int scratch_keys, const int2 *decisions, int tokens, int kept, float *weights,
                                       int *places, float *mass, float *entropy, float *whole) {
    float *scores = scratch + (u64)blockIdx.x * ROWS * scratch_keys;
    for (int job = blockIdx.x; job < n_tiles * heads; job += gridDim.x) {
        int4 tile = tiles[job / heads];
        int head = job % heads, keys = min(tile.w + ROWS, tile.z);
        score_rows<HEAD>(q + head * HEAD, k + head / group * HEAD, tile, q_stride, kv_stride, scale, scores, keys);
        __syncthreads();
        for (int r = threadIdx.x / 32; r < ROWS && tile.w + r < tile.z; r += blockDim.x / 32) {
            int token = tile.x + r;
            u64 at = (u64)head * tokens + token;
            int2 decision = decisions[token];
            float *row = decision.x < 0 ? nullptr : whole + decision.x + (u64)head * decision.y;
            keep_row(scores + (u64)r * keys, tile.w + r + 1, kept, weights + at * kept, places + at * kept, mass + at,
                     entropy + at, row);
        }
        __syncthreads();
    }
}
