// Causal attention over packed sequences. Keys and values are read where they lie, once for all the query heads that
// share them, and no pattern is ever written.
//
// `tiles` says of each block's 64 queries: the packed row of the first, the packed row where their sequence begins,
// how many tokens it has, and the position of the first query in it.

constexpr int QUERIES = 64;  // of a block, 16 a warp
constexpr int KEYS = 64;     // at once
constexpr int PAD = 8;       // keeps rows of a tile off the same banks

#ifdef HALF
#define KIND "f16"
#else
#define KIND "bf16"
#endif

__device__ __forceinline__ void mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." KIND "." KIND ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void load_matrices(u32 (&m)[4], const void *row) {
    u32 at = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3]) : "r"(at));
}

__device__ __forceinline__ void load_transposed(u32 (&m)[4], const void *row) {
    u32 at = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3]) : "r"(at));
}

__device__ __forceinline__ u32 pack(float low, float high) {
    union { T half[2]; u32 word; } both;
    both.half[0] = from_f32<T>(low);
    both.half[1] = from_f32<T>(high);
    return both.word;
}

__device__ __forceinline__ void copy_async(void *to, const void *from, bool there) {
    u32 at = (u32)__cvta_generic_to_shared(to);
    int bytes = there ? 16 : 0;  // the rest is filled with zeros
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes));
}

template <int D> struct Tile { T rows[KEYS][D + PAD]; };

template <int D>
__device__ void load_tile(Tile<D> &tile, const T *x, int stride, int first, int length) {
    for (int i = threadIdx.x; i < KEYS * D / 8; i += blockDim.x) {
        int row = i / (D / 8), column = i % (D / 8) * 8;
        bool there = first + row < length;
        copy_async(&tile.rows[row][column], x + (u64)(there ? first + row : 0) * stride + column, there);
    }
}

// The two rows of a warp's 16 that a thread has numbers of: lane / 4 and 8 more.
template <int D>
__device__ void attend_tile(const T *q, const T *k, const T *v, T *out, int4 tile, int q_stride, int kv_stride,
                            int out_stride, float scale, char *shared) {
    auto keys = (Tile<D> *)shared, values = keys + 2;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, quad = lane % 4, first = warp * 16 + lane / 4;
    int length = tile.z, offset = tile.w;
    u32 queries[D / 16][4];
    for (int i = 0; i < D / 16; i++)
        for (int r = 0; r < 4; r++) {
            int query = min(first + (r % 2) * 8, length - 1 - offset);
            queries[i][r] = *(const u32 *)(q + (u64)(tile.x + query) * q_stride + i * 16 + r / 2 * 8 + quad * 2);
        }
    k += (u64)tile.y * kv_stride;
    v += (u64)tile.y * kv_stride;
    float mixed[D / 8][4] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {};
    int last = min(offset + QUERIES, length), n_tiles = (last + KEYS - 1) / KEYS;
    load_tile<D>(keys[0], k, kv_stride, 0, length);
    load_tile<D>(values[0], v, kv_stride, 0, length);
    asm volatile("cp.async.commit_group;");
    for (int at = 0; at < n_tiles; at++) {
        if (at + 1 < n_tiles) {
            load_tile<D>(keys[(at + 1) % 2], k, kv_stride, (at + 1) * KEYS, length);
            load_tile<D>(values[(at + 1) % 2], v, kv_stride, (at + 1) * KEYS, length);
        }
        asm volatile("cp.async.commit_group;");
        asm volatile("cp.async.wait_group 1;");
        __syncthreads();
        auto &key_tile = keys[at % 2], &value_tile = values[at % 2];
        float scores[KEYS / 8][4] = {};
        for (int i = 0; i < D / 16; i++)
            for (int n = 0; n < KEYS / 16; n++) {
                u32 b[4];
                load_matrices(b, &key_tile.rows[n * 16 + lane / 16 * 8 + lane % 8][i * 16 + lane / 8 % 2 * 8]);
                mma(scores[2 * n], queries[i], b[0], b[1]);
                mma(scores[2 * n + 1], queries[i], b[2], b[3]);
            }
        float now[2] = {largest[0], largest[1]};
        for (int n = 0; n < KEYS / 8; n++)
            for (int j = 0; j < 4; j++) {
                int key = at * KEYS + n * 8 + quad * 2 + j % 2, query = offset + first + j / 2 * 8;
                scores[n][j] = key > query ? -INFINITY : scores[n][j] * scale;
                now[j / 2] = fmaxf(now[j / 2], scores[n][j]);
            }
        float shrink[2];
        for (int r = 0; r < 2; r++) {
            for (int step = 1; step < 4; step *= 2) now[r] = fmaxf(now[r], __shfl_xor_sync(~0u, now[r], step));
            shrink[r] = exp2f(largest[r] - now[r]);
            largest[r] = now[r];
            total[r] *= shrink[r];
        }
        for (int n = 0; n < KEYS / 8; n++)
            for (int j = 0; j < 4; j++) {
                scores[n][j] = exp2f(scores[n][j] - now[j / 2]);
                total[j / 2] += scores[n][j];
            }
        for (int n = 0; n < D / 8; n++)
            for (int j = 0; j < 4; j++) mixed[n][j] *= shrink[j / 2];
        for (int i = 0; i < KEYS / 16; i++) {
            u32 weights[4] = {pack(scores[2 * i][0], scores[2 * i][1]), pack(scores[2 * i][2], scores[2 * i][3]),
                              pack(scores[2 * i + 1][0], scores[2 * i + 1][1]),
                              pack(scores[2 * i + 1][2], scores[2 * i + 1][3])};
            for (int n = 0; n < D / 16; n++) {
                u32 b[4];
                load_transposed(b, &value_tile.rows[i * 16 + lane % 16][n * 16 + lane / 16 * 8]);
                mma(mixed[2 * n], weights, b[0], b[1]);
                mma(mixed[2 * n + 1], weights, b[2], b[3]);
            }
        }
        __syncthreads();
    }
    for (int r = 0; r < 2; r++) {
        for (int step = 1; step < 4; step *= 2) total[r] += __shfl_xor_sync(~0u, total[r], step);
        int query = first + r * 8;
        if (offset + query >= length) continue;
        T *row = out + (u64)(tile.x + query) * out_stride;
        for (int n = 0; n < D / 8; n++)
            *(u32 *)(row + n * 8 + quad * 2) = pack(mixed[n][2 * r] / total[r], mixed[n][2 * r + 1] / total[r]);
    }
}

extern "C" __global__ void __launch_bounds__(128) attend(const T *q, const T *k, const T *v, T *out, const int4 *tiles, int q_stride,
                                  int kv_stride, int heads, int group, float scale) {
    extern __shared__ __align__(16) char shared[];
    int head = blockIdx.y;
    attend_tile<HEAD>(q + head * HEAD, k + head / group * HEAD, v + head / group * HEAD, out + head * HEAD,
                      tiles[blockIdx.x], q_stride, kv_stride, heads * HEAD, scale * 1.4426950408889634f, shared);
}
