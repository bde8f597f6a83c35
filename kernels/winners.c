/* Winners: the k largest of n numbers; see winners.h.
 *
 * The float body keeps the k best seen so far in a heap with the weakest at its root; most numbers are
 * refused with one comparison. The root that remains is the weakest winner, and one more sweep lists all that
 * are not weaker, which is in ascending order without any sorting. */
#include "winners.h"

#include <math.h>
#include <stdbool.h>

static bool taken(const uint32_t *index, size_t count, size_t i)
{
    for (size_t a = 0; a < count; a++)
        if (index[a] == i)
            return true;
    return false;
}

static void insert_ascending(uint32_t *index, size_t count, size_t i)
{
    for (; count > 0 && index[count - 1] > i; count--)
        index[count] = index[count - 1];
    index[count] = (uint32_t)i;
}

void winners_ref(uint32_t *index, const double *c, size_t n, size_t k)
{
    for (size_t count = 0; count < k; count++) {
        size_t best = n;
        for (size_t i = 0; i < n; i++)
            if (!taken(index, count, i) && (best == n || c[i] > c[best] || (isnan(c[best]) && !isnan(c[i]))))
                best = i;
        insert_ascending(index, count, best);
    }
}

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

void winners_cpu(uint32_t *index, const float *c, size_t n, size_t k)
{
    for (size_t a = 0; a < k; a++)
        index[a] = (uint32_t)a;
    for (size_t root = k / 2; root-- > 0;)
        sift_down(index, c, root, k);
    float least = key(c[index[0]]);
    for (size_t i = k; i < n; i++)
        if (c[i] > least) {
            index[0] = (uint32_t)i;
            sift_down(index, c, 0, k);
            least = key(c[index[0]]);
        }
    uint32_t last = index[0];
    size_t count = 0;
    for (size_t i = 0; count < k; i++)
        if (key(c[i]) > least || (key(c[i]) == least && i <= last))
            index[count++] = (uint32_t)i;
}
