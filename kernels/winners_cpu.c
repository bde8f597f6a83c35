/* Winners, the k largest of n numbers, in float; see winners.h.
 *
 * The float body keeps the k best seen so far in a heap with the weakest at its root, which most numbers do not
 * reach: they are refused a group at a time. Few winners are sorted by insertion; many are listed by one more
 * sweep over all numbers that are not weaker than the root that remains, which is in ascending order. */
#include <math.h>
#include <stdbool.h>

#include "vector.h"
#include "winners.h"

#define GROUP 32 /* numbers looked at together, a multiple of VECTOR_FLOATS */
#define FEW 16   /* winners that are sorted by insertion */

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
        if (child + 1 < k && weaker(c, heap[child + 1], heap[child]))
            child++;
        if (!weaker(c, heap[child], heap[root]))
            return;
        uint32_t swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
    }
}

static void insert_ascending(uint32_t *index, size_t count, size_t i)
{
    for (; count > 0 && index[count - 1] > i; count--)
        index[count] = index[count - 1];
    index[count] = (uint32_t)i;
}

/* Whether any of GROUP numbers is >= least; NaN is not. */
static bool reaches(const float *c, float least)
{
    vector top = (vector){0} - INFINITY;
    float lanes[VECTOR_FLOATS];
    int any = 0;
    for (size_t i = 0; i < GROUP; i += VECTOR_FLOATS)
        top = vector_max(vector_load(c + i), top);
    vector_store(lanes, top);
    for (size_t l = 0; l < VECTOR_FLOATS; l++)
        any |= lanes[l] >= least;
    return any;
}

/* Where to look on from i for a number that reaches `least`: past whole groups that have none. */
static size_t skip(const float *c, size_t i, size_t n, float least)
{
    while (i + GROUP <= n && !reaches(c + i, least))
        i += GROUP;
    return i;
}

/* List the k numbers that are not weaker than c[last]. */
static void list_stronger(uint32_t *index, const float *c, size_t k, uint32_t last)
{
    const float least = key(c[last]);
    for (size_t i = 0, count = 0; count < k; i++)
        if (key(c[i]) > least || (key(c[i]) == least && i <= last))
            index[count++] = (uint32_t)i;
}

void winners_cpu(uint32_t *index, const float *c, size_t n, size_t k)
{
    for (size_t a = 0; a < k; a++)
        index[a] = (uint32_t)a;
    for (size_t root = k / 2; root-- > 0;)
        sift_down(index, c, root, k);
    float least = key(c[index[0]]);
    for (size_t i = skip(c, k, n, least); i < n; i = skip(c, i, n, least))
        for (size_t end = i + GROUP < n ? i + GROUP : n; i < end; i++)
            if (c[i] > least) {
                index[0] = (uint32_t)i;
                sift_down(index, c, 0, k);
                least = key(c[index[0]]);
            }
    if (k <= FEW)
        for (size_t a = 1; a < k; a++)
            insert_ascending(index, a, index[a]);
    else
        list_stronger(index, c, k, index[0]);
}
