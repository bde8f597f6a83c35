/* Winners, the k largest of n numbers, in float; see winners.h.
 *
 * Few winners of many numbers: the numbers are dealt out to ranges, every RANGES-th to the same, whose maxima need
 * no comparison between vector lanes. The k-th largest maximum is a bound that at least k numbers reach, and
 * only the few ranges that have one are looked at.
 *
 * Few winners of few numbers: those that are not less than the k-th largest, found a vector at a time, unless there are
 * ties.
 *
 * Else the k best seen so far are kept in a heap with the weakest at its root; most numbers are refused with one
 * comparison. The root that remains is the weakest winner, and one more sweep lists all that are not weaker, which
 * is in ascending order without any sorting. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "vector.h"
#include "winners.h"

#define FEW 16    /* winners that are sought one after another */
#define MANY 256  /* numbers that are worth a look at their ranges' maxima first */
#define RANGES 64 /* a multiple of VECTOR_FLOATS, and at least FEW */
#define RANGE_VECTORS (RANGES / VECTOR_FLOATS)

static float key(float c)
{
    return isnan(c) ? -INFINITY : c;
}

static bool weaker(const float *c, uint32_t i, uint32_t j)
{
    float a = key(c[i]), b = key(c[j]);
    return a < b || (a == b && i > j);
}

static void sift_down(uint32_t *heap, const float *c, size_t root, size_t k)
{
    for (size_t child; (child = 2 * root + 1) < k; root = child) {
        if (child + 1 < k && weaker(c, heap[child + 1], heap[child])) {
            child++;
        }
        if (!weaker(c, heap[child], heap[root])) {
            return;
        }
        uint32_t swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
    }
}

static void insert_ascending(uint32_t *index, size_t count, size_t i)
{
    for (; count > 0 && index[count - 1] > i; count--) {
        index[count] = index[count - 1];
    }
    index[count] = (uint32_t)i;
}

/* List the k numbers that are not weaker than c[last]. */
static void list_stronger(uint32_t *index, const float *c, size_t k, uint32_t last)
{
    const float least = key(c[last]);
    for (size_t i = 0, count = 0; count < k; i++) {
        if (key(c[i]) > least || (key(c[i]) == least && i <= last)) {
            index[count++] = (uint32_t)i;
        }
    }
}

/* The k-th largest of the different numbers in c (n >= VECTOR_FLOATS), -infinity if there are fewer. */
static float largest_of(const float *c, size_t n, size_t k)
{
    const vector nothing = (vector){0} - INFINITY;
    float largest = INFINITY;
    for (size_t a = 0; a < k; a++) {
        const vector before = (vector){0} + largest;
        vector most = nothing;
        float lanes[VECTOR_FLOATS];
        for (size_t i = 0; i < n; i += VECTOR_FLOATS) {
            const vector v = vector_load(c + (i + VECTOR_FLOATS <= n ? i : n - VECTOR_FLOATS));
            most = vector_max(vector_choose(v < before, v, nothing), most);
        }
        vector_store(lanes, most);
        largest = -INFINITY;
        for (size_t l = 0; l < VECTOR_FLOATS; l++) {
            largest = lanes[l] > largest ? lanes[l] : largest;
        }
    }
    return largest;
}

/* Few winners of few numbers. False if there are ties among the strongest, or fewer than k numbers. */
static bool few_of_few(uint32_t *index, const float *c, size_t n, size_t k)
{
    const float least = largest_of(c, n, k);
    uint32_t found[FEW + 1];
    size_t count = 0;
    for (size_t i = 0; least > -INFINITY && i < n && count <= k; i++) {
        found[count] = (uint32_t)i;
        count += c[i] >= least;
    }
    if (count != k) {
        return false;
    }
    memcpy(index, found, k * sizeof *index);
    return true;
}

/* A number that k of c's first RANGES * n numbers reach, as the k-th largest of the ranges' different maxima does;
 * -infinity if there are fewer. top (RANGES): the maxima; number i belongs to range i mod RANGES. */
static float bound(float *restrict top, const float *restrict c, size_t n, size_t k)
{
    vector largest[RANGE_VECTORS];
    for (size_t r = 0; r < RANGE_VECTORS; r++) {
        largest[r] = (vector){0} - INFINITY;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t r = 0; r < RANGE_VECTORS; r++) {
            largest[r] = vector_max(vector_load(c + i * RANGES + r * VECTOR_FLOATS), largest[r]);
        }
    }
    for (size_t r = 0; r < RANGE_VECTORS; r++) {
        vector_store(top + r * VECTOR_FLOATS, largest[r]);
    }
    return largest_of(top, RANGES, k);
}

/* Put i among the strongest, of which there are `count` <= k so far, the weakest first; returns how many now. */
static size_t admit(uint32_t *index, const float *c, uint32_t i, size_t count, size_t k)
{
    size_t a = 0;
    if (count == k) {
        if (weaker(c, i, index[0])) {
            return k;
        }
        for (; a + 1 < k && weaker(c, index[a + 1], i); a++) {
            index[a] = index[a + 1];
        }
        index[a] = i;
        return k;
    }
    for (a = count; a > 0 && weaker(c, i, index[a - 1]); a--) {
        index[a] = index[a - 1];
    }
    index[a] = i;
    return count + 1;
}

/* Few winners of many numbers: only the ranges whose maximum reaches the bound are looked at one by one. False
 * where there is no bound. */
static bool few_of_many(uint32_t *index, const float *c, size_t n, size_t k)
{
    const size_t length = n / RANGES;
    float top[RANGES];
    const float least = bound(top, c, length, k);
    size_t count = 0;
    if (!(least > -INFINITY)) {
        return false;
    }
    for (size_t r = 0; r < RANGES; r++) {
        for (size_t i = r; top[r] >= least && i < length * RANGES; i += RANGES) {
            if (c[i] >= least) {
                count = admit(index, c, (uint32_t)i, count, k);
            }
        }
    }
    for (size_t i = length * RANGES; i < n; i++) {
        if (c[i] >= least) {
            count = admit(index, c, (uint32_t)i, count, k);
        }
    }
    for (size_t a = 1; a < k; a++) {
        insert_ascending(index, a, index[a]);
    }
    return true;
}

void winners_cpu(uint32_t *index, const float *c, size_t n, size_t k)
{
    if (k <= FEW && n >= VECTOR_FLOATS &&
        (n >= MANY ? few_of_many(index, c, n, k) : few_of_few(index, c, n, k))) {
        return;
    }
    for (size_t a = 0; a < k; a++) {
        index[a] = (uint32_t)a;
    }
    for (size_t root = k / 2; root-- > 0;) {
        sift_down(index, c, root, k);
    }
    float least = key(c[index[0]]);
    for (size_t i = k; i < n; i++) {
        if (c[i] > least) {
            index[0] = (uint32_t)i;
            sift_down(index, c, 0, k);
            least = key(c[index[0]]);
        }
    }
    list_stronger(index, c, k, index[0]);
}
