// What is done to one row of the residual stream, or of a product, by itself.

// Rows of a table: one block a row, `width` a multiple of WIDE.
extern "C" __global__ void gather_rows(const T *table, const int *rows, T *out, int width) {
    const Wide *from = (const Wide *)(table + (u64)rows[blockIdx.x] * width);
    Wide *to = (Wide *)(out + (u64)blockIdx.x * width);
    for (int i = threadIdx.x; i < width / WIDE; i += blockDim.x) to[i] = from[i];
}

// Adds `delta` to the residual, if there is one, and writes its root mean square norm with its gain. Statistics are in
// f32; the normalized row is rounded to T before the gain, as the reference does it. One block a row.
extern "C" __global__ void add_norm(T *x, const T *delta, const T *gain, T *out, int width, float eps) {
    __shared__ float scratch[32];
    Wide *row = (Wide *)(x + (u64)blockIdx.x * width);
    const Wide *added = delta ? (const Wide *)(delta + (u64)blockIdx.x * width) : nullptr;
    float squares = 0;
    for (int i = threadIdx.x; i < width / WIDE; i += blockDim.x) {
        Wide here = row[i];
        if (added) {
            Wide more = added[i];
            for (int j = 0; j < WIDE; j++) here.at[j] = from_f32<T>(to_f32(here.at[j]) + to_f32(more.at[j]));
            row[i] = here;
        }
        for (int j = 0; j < WIDE; j++) squares += to_f32(here.at[j]) * to_f32(here.at[j]);
    }
    if (!gain) return;
    float scale = rsqrtf(block_sum(squares, scratch) / width + eps);
    Wide *normed = (Wide *)(out + (u64)blockIdx.x * width);
    for (int i = threadIdx.x; i < width / WIDE; i += blockDim.x) {
        Wide here = row[i], weight = ((const Wide *)gain)[i];
        for (int j = 0; j < WIDE; j++)
            here.at[j] = from_f32<T>(rounded(to_f32(here.at[j]) * scale) * to_f32(weight.at[j]));
        normed[i] = here;
    }
}

// Turns the first `heads` heads of each row in place: pair i of a head are its columns i and i + half. `turns` holds
// cosine and sine, rounded to T, of every position and pair. One block a row.
extern "C" __global__ void rotate(T *x, const int *positions, const float2 *turns, int columns, int heads, int half) {
    T *row = x + (u64)blockIdx.x * columns;
    const float2 *turn = turns + (u64)positions[blockIdx.x] * half;
    for (int i = threadIdx.x; i < heads * half; i += blockDim.x) {
        int head = i / half, pair = i % half;
        T *first = row + head * 2 * half + pair, *second = first + half;
        float a = to_f32(*first), b = to_f32(*second);
        float2 t = turn[pair];
        *first = from_f32<T>(rounded(a * t.x) - rounded(b * t.y));
        *second = from_f32<T>(rounded(b * t.x) + rounded(a * t.y));
    }
}

// Copies the columns of each row from `skip` on, its keys and values, to the row of `past` that is its own. One block a row.
extern "C" __global__ void remember(const T *x, const int *rooms, T *past, int columns, int skip, int width) {
    const Wide *from = (const Wide *)(x + (u64)blockIdx.x * columns + skip);
    Wide *to = (Wide *)(past + (u64)rooms[blockIdx.x] * width);
    for (int i = threadIdx.x; i < width / WIDE; i += blockDim.x) to[i] = from[i];
}

// silu(gate) * up of rows [gate | up], each half `width` wide.
extern "C" __global__ void swiglu(const T *gate_up, T *out, int width, u64 total) {
    u64 i = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * WIDE;
    if (i >= total) return;
    u64 row = i / width, column = i % width;
    Wide gate = *(const Wide *)(gate_up + row * 2 * width + column);
    Wide up = *(const Wide *)(gate_up + row * 2 * width + width + column);
    for (int j = 0; j < WIDE; j++) {
        float g = to_f32(gate.at[j]);
        gate.at[j] = from_f32<T>(rounded(g / (1 + __expf(-g))) * to_f32(up.at[j]));
    }
    *(Wide *)(out + i) = gate;
}

// Numbers that look normal, for weights of a benchmark.
extern "C" __global__ void fill_normal(T *out, u64 count, u32 seed, float scale) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    u64 z = (i + 1) * 0x9E3779B97F4A7C15ull + seed * 0xD1B54A32D192ED03ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    float u = ((u32)z + 1.0f) * 2.3283064e-10f, v = (u32)(z >> 32) * 2.3283064e-10f;
    out[i] = from_f32<T>(scale * sqrtf(-2 * logf(fminf(u, 1.0f))) * cospif(2 * v));
}
