// Attention of single queries, those of answers that go on by a token, over all that came before. A block makes up to
// four query heads that share their keys and values, which are read once for all of them: every warp takes each eighth
// piece of 32 keys, and what the warps found is put together at the end. `tiles` as for attend, of one query each.

constexpr int HEADS_AT_ONCE = 4;
constexpr int WARPS = 8;
constexpr int COLUMNS = HEAD / 32;  // of a head, for each lane

struct alignas(2 * COLUMNS) Columns { T at[COLUMNS]; };

// Largest score, sum of the weights below it, and mix of the values by them, of some keys: for each head.
struct Found { float largest[HEADS_AT_ONCE], total[HEADS_AT_ONCE], mixed[HEADS_AT_ONCE][HEAD]; };

// Adds 32 keys to what a warp has found. Lane j has the score of key j, and every lane its columns of the values.
__device__ __forceinline__ void add_keys(const T *k, const T *v, int stride, int count,
                                         const float (&queries)[HEADS_AT_ONCE][COLUMNS], float (&largest)[HEADS_AT_ONCE],
                                         float (&total)[HEADS_AT_ONCE], float (&mixed)[HEADS_AT_ONCE][COLUMNS]) {
    int lane = threadIdx.x % 32;
    float scores[HEADS_AT_ONCE];
    for (int h = 0; h < HEADS_AT_ONCE; h++) scores[h] = -INFINITY;
#pragma unroll 4
    for (int j = 0; j < count; j++) {
        Columns key = *(const Columns *)(k + (u64)j * stride);
        for (int h = 0; h < HEADS_AT_ONCE; h++) {
            float product = 0;
            for (int i = 0; i < COLUMNS; i++) product += queries[h][i] * to_f32(key.at[i]);
            product = warp_sum(product);
            if (lane == j) scores[h] = product;
        }
    }
    for (int h = 0; h < HEADS_AT_ONCE; h++) {
        float now = fmaxf(largest[h], warp_max(scores[h])), shrink = exp2f(largest[h] - now);
        scores[h] = exp2f(scores[h] - now);
        total[h] = total[h] * shrink + scores[h];
        for (int i = 0; i < COLUMNS; i++) mixed[h][i] *= shrink;
        largest[h] = now;
    }
#pragma unroll 4
    for (int j = 0; j < count; j++) {
        Columns value = *(const Columns *)(v + (u64)j * stride);
        for (int h = 0; h < HEADS_AT_ONCE; h++) {
            float weight = __shfl_sync(~0u, scores[h], j);
            for (int i = 0; i < COLUMNS; i++) mixed[h][i] += weight * to_f32(value.at[i]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
    attend_one(const T *q, const T *k, const T *v, T *out, const int4 *tiles, int q_stride, int kv_stride, int heads,
               int group, float scale) {
    __shared__ Found found[WARPS];
    int4 tile = tiles[blockIdx.x];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, parts = (group + HEADS_AT_ONCE - 1) / HEADS_AT_ONCE;
    int shared_by = blockIdx.y / parts, first = shared_by * group + blockIdx.y % parts * HEADS_AT_ONCE;
    int n = min(HEADS_AT_ONCE, (shared_by + 1) * group - first), keys = tile.w + 1;
    float queries[HEADS_AT_ONCE][COLUMNS], mixed[HEADS_AT_ONCE][COLUMNS] = {}, total[HEADS_AT_ONCE] = {};
    float largest[HEADS_AT_ONCE];
    for (int h = 0; h < HEADS_AT_ONCE; h++) {
        largest[h] = -INFINITY;
        const T *query = q + (u64)tile.x * q_stride + (first + min(h, n - 1)) * HEAD + lane * COLUMNS;
        for (int i = 0; i < COLUMNS; i++) queries[h][i] = to_f32(query[i]) * scale * 1.4426950408889634f;
    }
    u64 start = (u64)tile.y * kv_stride + shared_by * HEAD + lane * COLUMNS;
    for (int base = warp * 32; base < keys; base += WARPS * 32) {
        u64 at = start + (u64)base * kv_stride;
        add_keys(k + at, v + at, kv_stride, min(32, keys - base), queries, largest, total, mixed);
    }
    for (int h = 0; h < HEADS_AT_ONCE; h++) {
        float sum = warp_sum(total[h]);
        if (lane == 0) {
            found[warp].largest[h] = largest[h];
            found[warp].total[h] = sum;
        }
        for (int i = 0; i < COLUMNS; i++) found[warp].mixed[h][lane * COLUMNS + i] = mixed[h][i];
    }
    __syncthreads();
    for (int at = threadIdx.x; at < n * HEAD; at += blockDim.x) {
        int h = at / HEAD, column = at % HEAD;
        float most = -INFINITY, sum = 0, value = 0;
        for (int w = 0; w < WARPS; w++) most = fmaxf(most, found[w].largest[h]);
        for (int w = 0; w < WARPS; w++) {
            float share = exp2f(found[w].largest[h] - most);  // 0 of a warp without keys
            sum += share * found[w].total[h];
            value += share * found[w].mixed[h][column];
        }
        out[(u64)tile.x * heads * HEAD + first * HEAD + at] = from_f32<T>(value / sum);
    }
}
