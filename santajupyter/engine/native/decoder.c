/* One step of a decoder with weights in float32, int8 or int4, on x86-64.

   With int8 and int4 a product's activations are rounded to int8, each group of GROUP with a scale of its
   own, and multiplied as whole numbers; floats are summed up in one order. So a token's result is the same to
   the last bit whatever else is in the step, and however many threads share it. A step of few tokens takes
   about as long as it takes to read the weights.

   Numbers of weights lie as they are multiplied, ROWS rows of outputs at a time; native.py packs them. */

#include <immintrin.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The SHA-256 of this file, by which native.py knows that structures are as it has them. */
const char source[] = SOURCE;

enum { LANES = 16, ROWS = 2 * LANES, GROUP = 128, PART = 32, PARTS = GROUP / PART, HEADS = 8, ALIGNED = 64 };
/* How many bytes of weights the memory is asked for in advance. */
enum { SOON = 2048 };
/* Positions that are looked at by one thread at a time. */
enum { BLOCK = 256 };
/* Tokens that are multiplied with a weight while it is at hand: as many as there are registers for. */
#ifdef __AVX512F__
enum { MOST = 12, MOST_FLOATS = 6 };
#else
enum { MOST = 4, MOST_FLOATS = 2 };
#endif
/* Chunks of a task for each thread: enough that one which comes late, or loses its core, delays nobody. */
enum { CHUNKS = 8 };
/* Who waits longer than some 50 us sleeps: the one that is waited for may need the core. */
enum { SPINS = 2000, NAP = 50000 };

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint8_t Bytes __attribute__((vector_size(4 * LANES)));
typedef Floats __attribute__((aligned(4))) FloatsAt;
typedef Bytes __attribute__((aligned(1))) BytesAt;

enum Activation { GELU, GELU_TANH, SILU };

/* Of [rows, width]: numbers and scales as native.py packs them, biases [rows] or NULL. bits: 32, 8 or 4. */
typedef struct {
    const void *numbers;
    const uint8_t *factors;
    const float *scales, *biases;
    int32_t rows, width, bits;
} Product;

typedef struct {
    const float *attention_norm, *attention_norm_bias;
    Product queries, shared, out;
    const float *mlp_norm, *mlp_norm_bias;
    Product up, down;
} Layer;

typedef struct {
    const Layer *layer;
    const float *norm, *norm_bias;
    Product head;
    int32_t layers, width, inner, heads, kv_heads, size, window;
    int32_t is_rms, is_gated, activation;
    float epsilon, attention_scale, residual_scale, logits_scale;
} Decoder;

/* Of the new tokens: x [count, width], embedded; the positions of each in its text; which of them get logits;
   cosine and sine of rotary positions [count, size], or NULL. kv: [2 x layers, texts, capacity, kv_heads,
   size], keys and values by turns, with room for a multiple of LANES. */
typedef struct {
    float *x;
    const int32_t *positions, *text, *wanted;
    const float *cosine, *sine;
    float *kv, *logits;
    int64_t capacity;
    int32_t count, texts, kept;
} Step;

typedef void Work(void *task, int chunk, int thread);

/* What threads share: state is the task's number above 16 bits, and below how many of its chunks nobody has
   taken yet. */
typedef struct {
    _Atomic uint64_t state;
    _Atomic int32_t left, is_open;
    int32_t threads;
    Work *work;
    void *task;
} Pool;

/* A step's own memory. The next product's activations: input, and rounded, a and scales; sums,
   below zero, of each PART. */
typedef struct {
    const Decoder *of;
    const Step *step;
    Pool *pool;
    float *normed, *projected, *looked, *inner, *scores, *seen, *tops, *shares;
    const float *input;
    int8_t *a;
    float *scales;
    int16_t *sums;
    int32_t blocks;
} State;

/* ---- Threads ---- */

static void rest(int *spins) {
    if (++*spins < SPINS)
        _mm_pause();
    else
        nanosleep(&(struct timespec){0, NAP}, NULL);
}

static int take(Pool *pool, int thread) {
    uint64_t state = atomic_load_explicit(&pool->state, memory_order_acquire);
    while (state & 0xffff) {
        if (!atomic_compare_exchange_weak(&pool->state, &state, state - 1)) continue;
        pool->work(pool->task, (int)(state & 0xffff) - 1, thread);
        atomic_fetch_sub_explicit(&pool->left, 1, memory_order_release);
        return 1;
    }
    return 0;
}

static void share(Pool *pool, Work *work, void *task, int chunks) {
    if (chunks == 1 || pool->threads == 1) {
        for (int chunk = 0; chunk < chunks; chunk++) work(task, chunk, 0);
        return;
    }
    pool->work = work;
    pool->task = task;
    atomic_store_explicit(&pool->left, chunks, memory_order_relaxed);
    uint64_t number = (atomic_load_explicit(&pool->state, memory_order_relaxed) >> 16) + 1;
    atomic_store_explicit(&pool->state, number << 16 | (uint64_t)chunks, memory_order_release);
    while (take(pool, 0)) {
    }
    for (int spins = 0; atomic_load_explicit(&pool->left, memory_order_acquire);) rest(&spins);
}

/* What a thread beside the step's own does until the step is over. */
void help(Pool *pool, int thread) {
    for (int spins = 0; atomic_load_explicit(&pool->is_open, memory_order_acquire);) {
        if (take(pool, thread))
            spins = 0;
        else
            rest(&spins);
    }
}

/* ---- Vectors ---- */

static inline int smaller(int x, int y) {
    return x < y ? x : y;
}
static inline Floats at(const float *from) {
    return *(const FloatsAt *)from;
}
static inline void put(float *to, Floats value) {
    *(FloatsAt *)to = value;
}
static inline Floats all(float value) {
    return (Floats){} + value;
}

static inline Ints wide(const uint8_t *from) {
    typedef uint8_t Small __attribute__((vector_size(LANES), aligned(1)));
    return __builtin_convertvector(*(const Small *)from, Ints);
}

static inline float sum(Floats x) {
    float total = 0;
    for (int i = 0; i < LANES; i++) total += x[i];
    return total;
}

static inline Floats chosen(Ints where, Floats x, Floats y) {
    return (Floats)(((Ints)x & where) | ((Ints)y & ~where));
}
static inline Floats larger(Floats x, Floats y) {
    return chosen(x > y, x, y);
}
static inline Floats positive(Floats x) {
    return chosen(x < all(0), -x, x);
}
static inline Ints nearest(Floats x) {
    return __builtin_convertvector(x + chosen(x < all(0), all(-0.5f), all(0.5f)), Ints);
}

static inline float largest(Floats x) {
    float most = x[0];
    for (int i = 1; i < LANES; i++) most = x[i] > most ? x[i] : most;
    return most;
}

/* e^x by Cephes' expf, to within 2 units in the last place; below -87 next to nothing.
   https://www.netlib.org/cephes/ */
static inline Floats exponential(Floats x) {
    x = -larger(-larger(x, all(-87)), all(-88));
    Ints n = nearest(x * 1.44269504f);
    Floats whole = __builtin_convertvector(n, Floats);
    x = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    Floats y = all(1.9875691500e-4f);
    y = y * x + 1.3981999507e-3f;
    y = y * x + 8.3334519073e-3f;
    y = y * x + 4.1665795894e-2f;
    y = y * x + 1.6666665459e-1f;
    y = y * x + 5.0000001201e-1f;
    y = y * x * x + x + 1;
    return y * (Floats)((n + 127) << 23);
}

/* Abramowitz and Stegun, 7.1.26: to within 1.5e-7. */
static inline Floats error_function(Floats x) {
    Floats t = 1 / (1 + 0.3275911f * positive(x));
    Floats y =
        ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
    y = 1 - y * exponential(-x * x);
    return chosen(x < all(0), -y, y);
}

static inline Floats activated(Floats x, int activation) {
    if (activation == GELU) return 0.5f * x * (1 + error_function(x * 0.70710678f));
    Floats slope = activation == SILU ? x : 1.59576912f * (x + 0.044715f * x * x * x);
    return x / (1 + exponential(-slope));
}

/* ---- Products ---- */

/* Sums of four products each. In four bits a weight is what is stored times its row's ``factors``, which
   stand twice in 32 bits; in eight it is counted from ``offset`` up. And sums of two, of 16 bits. */
#ifdef __AVX512VNNI__
enum { OFFSET = 128 };

static inline Bytes multiplied_up(Bytes weights, Ints factors) { /* of two bytes at once: 15 * 15 is one */
    return (Bytes)_mm512_mullo_epi16((__m512i)weights, (__m512i)factors);
}

static inline Ints multiplied(Ints sums, Bytes weights, int32_t activations, Ints factors, int bits) {
    return (Ints)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)weights, _mm512_set1_epi32(activations));
}

static inline Ints multiplied_pairs(Ints sums, Ints pairs, int32_t others) {
    return (Ints)_mm512_dpwssd_epi32((__m512i)sums, (__m512i)pairs, _mm512_set1_epi32(others));
}
#else
enum { OFFSET = 0 };

typedef union {
    Ints ints;
    __m256i halves[2];
} Halves;

static inline Bytes multiplied_up(Bytes weights, Ints factors) {
    return weights;
}

static inline Ints multiplied(Ints sums, Bytes weights, int32_t activations, Ints factors, int bits) {
    Halves sum = {sums}, weight = {(Ints)weights}, factor = {factors};
    for (int half = 0; half < 2; half++) {
        __m256i w = weight.halves[half], a = _mm256_set1_epi32(activations), f = factor.halves[half];
        if (bits == 8) { /* unsigned by signed ones: two sums of two have to fit into 16 bits */
            w = _mm256_xor_si256(w, _mm256_set1_epi8(-128)), f = _mm256_set1_epi16(1);
            a = _mm256_sign_epi8(a, w), w = _mm256_abs_epi8(w);
        }
        __m256i pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(w, a), f);
        sum.halves[half] = _mm256_add_epi32(sum.halves[half], pairs);
    }
    return sum.ints;
}

static inline Ints multiplied_pairs(Ints sums, Ints pairs, int32_t others) {
    Halves sum = {sums}, pair = {pairs};
    for (int half = 0; half < 2; half++) {
        __m256i more = _mm256_madd_epi16(pair.halves[half], _mm256_set1_epi32(others));
        sum.halves[half] = _mm256_add_epi32(sum.halves[half], more);
    }
    return sum.ints;
}
#endif

enum End { STORED, ADDED, ACTIVATED, GATED };

typedef struct {
    State *state;
    const Product *product;
    float *to;
    int32_t count, stride, chunk;
    enum End end;
    float factor;
} Multiply;

/* What becomes of the products of one token with ROWS rows from ``row`` on. */
static void finish(const Multiply *m, int token, int row, Floats first, Floats second) {
    const float *biases = m->product->biases;
    float *to = m->to + (int64_t)token * m->stride + (m->end == GATED ? row / 2 : row);
    int activation = m->state->of->activation;
    if (biases) first += at(biases + row), second += at(biases + row + LANES);
    switch (m->end) {
    case STORED: put(to, first * m->factor), put(to + LANES, second * m->factor); break;
    case ADDED:
        put(to, at(to) + first * m->factor), put(to + LANES, at(to + LANES) + second * m->factor);
        break;
    case ACTIVATED:
        put(to, activated(first, activation)), put(to + LANES, activated(second, activation));
        break;
    case GATED: put(to, activated(first, activation) * second); break;
    }
}

/* ROWS rows of the weights with R tokens, the first of which is ``token``. */
static inline __attribute__((always_inline)) void tile(const Multiply *m, int row, int token, const int R,
                                                       const int bits) {
    const State *state = m->state;
    const int width = m->product->width, groups = width / GROUP;
    const int halves = R < 4 ? 2 : 1; /* where sums would wait for each other there are twice as many */
    const uint8_t *numbers = (const uint8_t *)m->product->numbers + (int64_t)row * width * bits / 8;
    const uint8_t *factors = bits == 4 ? m->product->factors + (int64_t)row * groups * PARTS : NULL;
    const float *scales = m->product->scales + (bits == 4 ? (int64_t)row * groups : row);
    const int8_t *a = state->a + (int64_t)token * width;
    const float *a_scales = state->scales + (int64_t)token * groups;
    const int16_t *a_sums = state->sums + (int64_t)token * groups * PARTS;
    const Bytes low = (Bytes){} + 15;
    Floats total[MOST][2];
#pragma unroll
    for (int r = 0; r < R; r++) total[r][0] = total[r][1] = all(0);
    for (int group = 0; group < groups; group++) {
        Ints sums[MOST][2][2], zeros[PARTS / 2][2] = {};
        for (int p = 0; bits == 4 && p < PARTS; p++)
            for (int h = 0; h < 2; h++) {
                Ints both = wide(factors + (group * PARTS + p) * ROWS + h * LANES);
                zeros[p / 2][h] |= (both & 15) * (both >> 4) << p % 2 * 16;
            }
#pragma unroll
        for (int r = 0; r < R; r++)
            for (int h = 0; h < 2; h++) {
                const int16_t *of = a_sums + (r * groups + group) * PARTS;
                int32_t pairs[PARTS / 2];
                memcpy(pairs, of, sizeof pairs);
                sums[r][0][h] = (Ints){};
                if (bits == 8) sums[r][0][h] += OFFSET * (of[0] + of[1] + of[2] + of[3]);
                for (int p = 0; bits == 4 && p < PARTS / 2; p++)
                    sums[r][0][h] = multiplied_pairs(sums[r][0][h], zeros[p][h], pairs[p]);
                sums[r][halves - 1][h] = halves == 2 ? (Ints){} : sums[r][0][h];
            }
        for (int p = 0; p < PARTS; p++) {
            Ints factor[2] = {};
            for (int h = 0; bits == 4 && h < 2; h++) {
                Ints one = wide(factors + (group * PARTS + p) * ROWS + h * LANES) & 15;
                factor[h] = one | one << 16;
            }
            for (int k = group * GROUP + p * PART, end = k + PART; k < end; k += 8, numbers += ROWS * bits) {
                Bytes w[2][2];
                for (int line = 0; R > 1 && R < MOST && line < ROWS * bits; line += ALIGNED)
                    __builtin_prefetch(numbers + SOON + line);
                for (int part = 0; part < 2; part++)
                    for (int h = 0; h < 2; h++) {
                        if (bits == 8) {
                            w[part][h] = *(const BytesAt *)(numbers + part * 128 + h * 64);
                        } else {
                            Bytes both = *(const BytesAt *)(numbers + h * 64);
                            w[part][h] =
                                multiplied_up((part ? (Bytes)((Ints)both >> 4) : both) & low, factor[h]);
                        }
                    }
#pragma unroll
                for (int r = 0; r < R; r++)
                    for (int part = 0; part < 2; part++) {
                        int32_t four;
                        memcpy(&four, a + (int64_t)r * width + k + 4 * part, 4);
                        int to = part % halves;
                        sums[r][to][0] = multiplied(sums[r][to][0], w[part][0], four, factor[0], bits);
                        sums[r][to][1] = multiplied(sums[r][to][1], w[part][1], four, factor[1], bits);
                    }
            }
        }
#pragma unroll
        for (int r = 0; r < R; r++)
            for (int h = 0; h < 2; h++) {
                Ints found = halves == 2 ? sums[r][0][h] + sums[r][1][h] : sums[r][0][h];
                Floats scale = all(a_scales[r * groups + group]);
                if (bits == 4) scale *= at(scales + group * ROWS + h * LANES);
                total[r][h] += __builtin_convertvector(found, Floats) * scale;
            }
    }
    for (int r = 0; r < R; r++) {
        if (bits == 8) total[r][0] *= at(scales), total[r][1] *= at(scales + LANES);
        finish(m, token + r, row, total[r][0], total[r][1]);
    }
}

/* The same with floats, of which even and odd columns are summed up apart. */
static inline __attribute__((always_inline)) void tile_floats(const Multiply *m, int row, int token,
                                                              const int R) {
    const int width = m->product->width;
    const float *numbers = (const float *)m->product->numbers + (int64_t)row * width;
    const float *input = m->state->input + (int64_t)token * width;
    Floats total[MOST][2][2];
#pragma unroll
    for (int r = 0; r < R; r++)
        for (int part = 0; part < 2; part++) total[r][part][0] = total[r][part][1] = all(0);
    for (int k = 0; k < width; k += 2, numbers += 2 * ROWS)
        for (int part = 0; part < 2; part++) {
            Floats first = at(numbers + part * ROWS), second = at(numbers + part * ROWS + LANES);
#pragma unroll
            for (int r = 0; r < R; r++) {
                total[r][part][0] += input[r * width + k + part] * first;
                total[r][part][1] += input[r * width + k + part] * second;
            }
        }
    for (int r = 0; r < R; r++)
        finish(m, token + r, row, total[r][0][0] + total[r][1][0], total[r][0][1] + total[r][1][1]);
}

#define TILE(R)                                                                                              \
    static void tile_##R(const Multiply *m, int row, int token) {                                            \
        if (m->product->bits == 4)                                                                           \
            tile(m, row, token, R, 4);                                                                       \
        else if (m->product->bits == 8)                                                                      \
            tile(m, row, token, R, 8);                                                                       \
        else                                                                                                 \
            tile_floats(m, row, token, R);                                                                   \
    }
TILE(1);
TILE(2);
TILE(3);
TILE(4);
#ifdef __AVX512F__
TILE(5);
TILE(6);
TILE(7);
TILE(8);
TILE(9);
TILE(10);
TILE(11);
TILE(12);
#endif

typedef void Tile(const Multiply *m, int row, int token);
static Tile *const TILES[] = {
    NULL,   tile_1, tile_2, tile_3, tile_4,
#ifdef __AVX512F__
    tile_5, tile_6, tile_7, tile_8, tile_9, tile_10, tile_11, tile_12,
#endif
};

static void multiply_chunk(void *task, int chunk, int thread) {
    const Multiply *m = task;
    int end = smaller((chunk + 1) * m->chunk * ROWS, m->product->rows);
    int most = m->product->bits == 32 ? MOST_FLOATS : MOST;
    for (int row = chunk * m->chunk * ROWS; row < end; row += ROWS)
        for (int token = 0, tiles = (m->count + most - 1) / most; tiles; tiles--) {
            int some = (m->count - token + tiles - 1) / tiles; /* tiles of about the same size */
            TILES[some](m, row, token);
            token += some;
        }
}

static void multiply(State *state, const Product *product, int count, float *to, int stride, enum End end,
                     float factor) {
    int blocks = product->rows / ROWS, most = CHUNKS * state->pool->threads;
    int chunk = (blocks + most - 1) / most;
    Multiply m = {state, product, to, count, stride, chunk, end, factor};
    share(state->pool, multiply_chunk, &m, (blocks + chunk - 1) / chunk);
}

/* ---- Rows ---- */

/* A token's activations in int8, group by group. */
static void rounded(State *state, const float *x, int token, int width) {
    int groups = width / GROUP;
    int8_t *a = state->a + (int64_t)token * width;
    for (int group = 0; group < groups; group++, x += GROUP, a += GROUP) {
        Floats most = all(0);
        for (int i = 0; i < GROUP; i += LANES) most = larger(most, positive(at(x + i)));
        float widest = largest(most), inverse = widest > 0 ? 127 / widest : 0;
        for (int p = 0; p < PARTS; p++) {
            Ints total = {};
            for (int i = p * PART; i < (p + 1) * PART; i += LANES) {
                Ints whole = nearest(at(x + i) * inverse);
                total += whole;
                typedef int8_t Small __attribute__((vector_size(LANES), aligned(1)));
                *(Small *)(a + i) = __builtin_convertvector(whole, Small);
            }
            int32_t all_of_it = 0;
            for (int i = 0; i < LANES; i++) all_of_it += total[i];
            state->sums[(token * groups + group) * PARTS + p] = (int16_t)-all_of_it;
        }
        state->scales[token * groups + group] = widest / 127;
    }
}

static void normed(const State *state, const float *x, float *to, const float *weight, const float *bias) {
    int width = state->of->width;
    Floats total = all(0), squares = all(0);
    float mean = 0;
    if (!state->of->is_rms) {
        for (int i = 0; i < width; i += LANES) total += at(x + i);
        mean = sum(total) / (float)width;
    }
    for (int i = 0; i < width; i += LANES) squares += (at(x + i) - mean) * (at(x + i) - mean);
    float scale = 1 / __builtin_sqrtf(sum(squares) / (float)width + state->of->epsilon);
    for (int i = 0; i < width; i += LANES) {
        Floats value = (at(x + i) - mean) * scale * at(weight + i);
        put(to + i, bias ? value + at(bias + i) : value);
    }
}

static void merged(State *state, int token);

typedef struct {
    State *state;
    const float *from, *norm, *bias;
    int32_t count, width, chunk;
} Prepare;

static void prepare_chunk(void *task, int chunk, int thread) {
    const Prepare *p = task;
    for (int token = chunk * p->chunk; token < p->count && token < (chunk + 1) * p->chunk; token++) {
        const float *from = p->from + (int64_t)token * p->width;
        float *to = p->state->normed + (int64_t)token * p->width;
        if (p->from == p->state->looked) merged(p->state, token);
        if (p->norm) normed(p->state, from, to, p->norm, p->bias);
        if (p->state->of->head.bits != 32) rounded(p->state, p->norm ? to : from, token, p->width);
    }
}

/* Activations [count, width] for the next product, by a norm if there is one. */
static void prepare(State *state, const float *from, int count, int width, const float *norm,
                    const float *bias) {
    int threads = state->pool->threads, chunk = count < 2 * threads ? count : (count + threads - 1) / threads;
    state->input = norm ? state->normed : from;
    Prepare p = {state, from, norm, bias, count, width, chunk};
    share(state->pool, prepare_chunk, &p, (count + chunk - 1) / chunk);
}

/* ---- Attention ---- */

static void turned(float *x, const float *cosine, const float *sine, int size) {
    for (int i = 0; i < size / 2; i += LANES) {
        Floats first = at(x + i), second = at(x + size / 2 + i);
        put(x + i, first * at(cosine + i) - second * at(sine + i));
        put(x + size / 2 + i, second * at(cosine + i) + first * at(sine + i));
    }
}

static float *place(const State *state, int layer, int is_value, int text, int position) {
    const Decoder *of = state->of;
    int64_t row = (int64_t)of->kv_heads * of->size;
    return state->step->kv +
           (((int64_t)(2 * layer + is_value) * state->step->texts + text) * state->step->capacity +
            position) *
               row;
}

/* The new tokens' keys and values to their places, and positions into the queries. */
static void placed(State *state, int layer) {
    const Decoder *of = state->of;
    const Step *step = state->step;
    int row = of->kv_heads * of->size, wide = (of->heads + 2 * of->kv_heads) * of->size;
    for (int token = 0; token < step->count; token++) {
        float *queries = state->projected + (int64_t)token * wide, *keys = queries + of->heads * of->size;
        for (int head = 0; step->cosine && head < of->heads + of->kv_heads; head++)
            turned(queries + head * of->size, step->cosine + token * of->size, step->sine + token * of->size,
                   of->size);
        memcpy(place(state, layer, 0, step->text[token], step->positions[token]), keys, row * sizeof(float));
        memcpy(place(state, layer, 1, step->text[token], step->positions[token]), keys + row,
               row * sizeof(float));
    }
}

/* The lanes' sums of LANES vectors, in their order. */
static inline Floats across(Floats x[LANES]) {
    for (int i = 0; i < 8; i++)
        x[i] =
            __builtin_shufflevector(x[i], x[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
            __builtin_shufflevector(x[i], x[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30,
                                    31);
    for (int i = 0; i < 4; i++)
        x[i] = __builtin_shufflevector(x[i], x[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26,
                                       27) +
               __builtin_shufflevector(x[i], x[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30,
                                       31);
    for (int i = 0; i < 2; i++)
        x[i] = __builtin_shufflevector(x[i], x[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28,
                                       29) +
               __builtin_shufflevector(x[i], x[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30,
                                       31);
    return __builtin_shufflevector(x[0], x[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
           __builtin_shufflevector(x[0], x[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}

/* The products of M queries with LANES keys. */
static inline __attribute__((always_inline)) void scored(const float *queries, const float *keys, int64_t row,
                                                         int size, Floats *to, const int M) {
    Floats x[M][LANES];
    for (int half = 0; half < LANES; half += LANES / 2) { /* as many addresses as there are registers for */
        const float *key[LANES / 2];
        Floats found[M][LANES / 2];
#pragma unroll
        for (int j = 0; j < LANES / 2; j++) {
            key[j] = keys + (half + j) * row;
            for (int m = 0; m < M; m++) found[m][j] = all(0);
        }
        for (int d = 0; d < size; d += LANES)
#pragma unroll
            for (int j = 0; j < LANES / 2; j++)
#pragma unroll
                for (int m = 0; m < M; m++) found[m][j] += at(queries + m * size + d) * at(key[j] + d);
#pragma unroll
        for (int j = 0; j < LANES / 2; j++)
            for (int m = 0; m < M; m++) x[m][half + j] = found[m][j];
    }
    for (int m = 0; m < M; m++) to[m] = across(x[m]);
}

typedef struct {
    State *state;
    const int32_t *tokens; /* which of the step's, or NULL for all */
    int32_t layer, parts, count, items, chunk;
} Attend;

/* Of a token: queries [N, size], and what they look at, the positions [from, end) of a block that begins at
   start, of the text's keys and values, the next ones of which are row further on. */
typedef struct {
    const float *queries, *keys, *values;
    float *scores, *to, *tops, *sums;
    int64_t row, blocks;
    int32_t size, start, from, end;
    float scale;
} Look;

/* What N query heads see there: each one's share of the values, times what they all sum up to, to ``to`` [N,
   blocks, size], the sums, and the largest scores [N, blocks]. By LANES positions counted from the text's
   beginning, so that no other token matters. */
static inline __attribute__((always_inline)) void look(const Look *l, const int N) {
    const float *queries = l->queries, *keys = l->keys;
    const int64_t row = l->row, blocks = l->blocks;
    const int size = l->size, start = l->start, from = l->from, end = l->end;
    float *scores = l->scores;
    Floats top[HEADS];
    for (int i = 0; i < N; i++) top[i] = all(-__builtin_inff());
    for (int t = from / LANES * LANES; t < end; t += LANES) {
        Ints where = (Ints){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} + t;
        Floats found[HEADS];
        for (int i = 0; i + 1 < N; i += 2)
            scored(queries + i * size, keys + t * row, row, size, found + i, 2);
        if (N % 2) scored(queries + (N - 1) * size, keys + t * row, row, size, found + N - 1, 1);
#pragma unroll
        for (int i = 0; i < N; i++) {
            Floats score =
                chosen((where >= from) & (where < end), found[i] * l->scale, all(-__builtin_inff()));
            top[i] = larger(top[i], score);
            put(scores + i * BLOCK + t - start, score);
        }
    }
    for (int i = 0; i < N; i++) {
        Floats total = all(0), best = all(largest(top[i]));
        for (int t = from / LANES * LANES - start; t < end - start; t += LANES) {
            Floats share = exponential(at(scores + i * BLOCK + t) - best);
            total += share;
            put(scores + i * BLOCK + t, share);
        }
        l->tops[i * blocks] = best[0];
        l->sums[i * blocks] = sum(total);
    }
    for (int d = 0; d < size; d += ROWS) {
        Floats seen[HEADS][2];
#pragma unroll
        for (int i = 0; i < N; i++) seen[i][0] = seen[i][1] = all(0);
        const float *value = l->values + from * row + d, *share = scores + from - start;
        for (int t = from; t < end; t++, value += row, share++) {
            Floats first = at(value), second = at(value + LANES);
#pragma unroll
            for (int i = 0; i < N; i++) {
                seen[i][0] += share[i * BLOCK] * first;
                seen[i][1] += share[i * BLOCK] * second;
            }
        }
        for (int i = 0; i < N; i++)
            put(l->to + i * blocks * size + d, seen[i][0]),
                put(l->to + i * blocks * size + d + LANES, seen[i][1]);
    }
}

#define LOOK(N)                                                                                              \
    static __attribute__((noinline)) void look_##N(const Look *l) {                                          \
        look(l, N);                                                                                          \
    }
LOOK(1);
LOOK(2);
LOOK(3);
LOOK(4);
LOOK(5);
LOOK(6);
LOOK(7);
LOOK(8);
static void (*const LOOKS[])(const Look *) = {NULL,   look_1, look_2, look_3, look_4,
                                              look_5, look_6, look_7, look_8};

/* Query heads of one token, HEADS at most, that share their keys, and a block of positions. */
static void attend_item(const Attend *a, int item, float *scores) {
    State *state = a->state;
    const Decoder *of = state->of;
    int part = item % a->parts, index = item / a->parts % a->count, block = item / a->parts / a->count;
    int token = a->tokens ? a->tokens[index] : index, blocks = state->blocks;
    int position = state->step->positions[token], text = state->step->text[token];
    int start = block * BLOCK, end = smaller(start + BLOCK, position + 1);
    int from = of->window && position - of->window + 1 > start ? position - of->window + 1 : start;
    int group = of->heads / of->kv_heads, parts = a->parts / of->kv_heads;
    int shared = part / parts, first = part % parts * HEADS, n = smaller(group - first, HEADS);
    int head = shared * group + first;
    int64_t row = (int64_t)of->kv_heads * of->size;
    int64_t at_block = ((int64_t)index * of->heads + head) * blocks + block;
    float *tops = state->tops + at_block;
    if (from >= end) {
        for (int i = 0; i < n; i++) tops[i * blocks] = -__builtin_inff();
        return;
    }
    Look l = {
        .queries = state->projected + ((int64_t)token * (of->heads + 2 * of->kv_heads) + head) * of->size,
        .keys = place(state, a->layer, 0, text, 0) + shared * of->size,
        .values = place(state, a->layer, 1, text, 0) + shared * of->size,
        .scores = scores,
        .to = state->seen + at_block * of->size,
        .tops = tops,
        .sums = state->shares + at_block,
        .row = row,
        .blocks = blocks,
        .size = of->size,
        .start = start,
        .from = from,
        .end = end,
        .scale = of->attention_scale,
    };
    LOOKS[n](&l);
}

static void attend_chunk(void *task, int chunk, int thread) {
    const Attend *a = task;
    for (int item = chunk * a->chunk; item < a->items && item < (chunk + 1) * a->chunk; item++)
        attend_item(a, item, a->state->scores + thread * HEADS * BLOCK);
}

/* What a token's heads see in all blocks, to looked. */
static void merged(State *state, int token) {
    const Decoder *of = state->of;
    int blocks = state->blocks, size = of->size;
    for (int head = 0; head < of->heads; head++) {
        int64_t row = (int64_t)token * of->heads + head;
        const float *seen = state->seen + row * blocks * size, *tops = state->tops + row * blocks;
        float *to = state->looked + row * size, top = tops[0], total = 0;
        for (int block = 1; block < blocks; block++) top = tops[block] > top ? tops[block] : top;
        for (int d = 0; d < size; d += LANES) put(to + d, all(0));
        for (int block = 0; block < blocks; block++) {
            if (tops[block] == -__builtin_inff()) continue;
            float factor = exponential(all(tops[block] - top))[0];
            total += factor * state->shares[row * blocks + block];
            for (int d = 0; d < size; d += LANES)
                put(to + d, at(to + d) + factor * at(seen + block * size + d));
        }
        for (int d = 0; d < size; d += LANES) put(to + d, at(to + d) / total);
    }
}

static void attend(State *state, int layer, const int32_t *tokens, int count) {
    const Decoder *of = state->of;
    int parts = of->kv_heads * ((of->heads / of->kv_heads + HEADS - 1) / HEADS);
    int items = count * parts * state->blocks, most = CHUNKS * state->pool->threads,
        chunk = (items + most - 1) / most;
    Attend a = {state, tokens, layer, parts, count, items, chunk};
    share(state->pool, attend_chunk, &a, (items + chunk - 1) / chunk);
}

/* ---- A step ---- */

static void *part(char **memory, int64_t size) {
    char *found = *memory;
    *memory += (size + ALIGNED - 1) / ALIGNED * ALIGNED;
    return found;
}

static int64_t laid_out(State *state, char *memory) {
    const Decoder *of = state->of;
    int64_t count = state->step->count, seen = of->heads * of->size,
            most = of->inner > of->width ? of->inner : of->width;
    char *end = memory;
    if (seen > most) most = seen;
    int32_t last = 0;
    for (int i = 0; i < count; i++)
        last = state->step->positions[i] > last ? state->step->positions[i] : last;
    state->blocks = last / BLOCK + 1;
    state->normed = part(&end, count * of->width * sizeof(float));
    state->projected = part(&end, count * (seen + 2 * of->kv_heads * of->size) * sizeof(float));
    state->looked = part(&end, count * seen * sizeof(float));
    state->inner = part(&end, count * of->inner * sizeof(float));
    state->scores = part(&end, state->pool->threads * HEADS * BLOCK * sizeof(float));
    state->seen = part(&end, count * seen * state->blocks * sizeof(float));
    state->tops = part(&end, count * of->heads * state->blocks * sizeof(float));
    state->shares = part(&end, count * of->heads * state->blocks * sizeof(float));
    state->a = part(&end, count * most);
    state->scales = part(&end, count * most / GROUP * sizeof(float));
    state->sums = part(&end, count * most / PART * sizeof(int16_t));
    return end - memory;
}

static void run(State *state) {
    const Decoder *of = state->of;
    const Step *step = state->step;
    int count = step->count, seen = of->heads * of->size, wide = seen + 2 * of->kv_heads * of->size;
    const int32_t *tokens = NULL;
    for (int index = 0; index < of->layers; index++) {
        const Layer *layer = of->layer + index;

        /* 1. The new tokens' queries, keys and values. Of the last layer only some tokens are wanted then. */
        prepare(state, step->x, count, of->width, layer->attention_norm, layer->attention_norm_bias);
        multiply(state, &layer->queries, count, state->projected, wide, STORED, 1);
        multiply(state, &layer->shared, count, state->projected + seen, wide, STORED, 1);
        placed(state, index);
        if (index == of->layers - 1) {
            count = step->kept, tokens = step->wanted;
            for (int i = 0; i < count; i++)
                memmove(step->x + (int64_t)i * of->width, step->x + (int64_t)tokens[i] * of->width,
                        of->width * sizeof(float));
        }

        /* 2. What they see. */
        attend(state, index, tokens, count);
        prepare(state, state->looked, count, seen, NULL, NULL);
        multiply(state, &layer->out, count, step->x, of->width, ADDED, of->residual_scale);

        /* 3. And each for itself. */
        prepare(state, step->x, count, of->width, layer->mlp_norm, layer->mlp_norm_bias);
        multiply(state, &layer->up, count, state->inner, of->inner, of->is_gated ? GATED : ACTIVATED, 1);
        prepare(state, state->inner, count, of->inner, NULL, NULL);
        multiply(state, &layer->down, count, step->x, of->width, ADDED, of->residual_scale);
    }
    prepare(state, step->x, count, of->width, of->norm, of->norm_bias);
    multiply(state, &of->head, count, step->logits, of->head.rows, STORED, of->logits_scale);
}

/* Logits [kept, head.rows] of the wanted tokens; the new ones' keys and values go to step->kv. Threads that
   are in help() share the work, until the end. Returns whether there was memory for it. */
int step(const Decoder *of, const Step *step, Pool *pool) {
    State state = {.of = of, .step = step, .pool = pool};
    int64_t size = laid_out(&state, NULL);
    void *memory = malloc(size + ALIGNED);
    if (memory) {
        laid_out(&state, (char *)(((uintptr_t)memory + ALIGNED - 1) / ALIGNED * ALIGNED));
        run(&state);
        free(memory);
    }
    atomic_store_explicit(&pool->is_open, 0, memory_order_release);
    return memory != NULL;
}
