/* Winners: the k largest of n numbers; see winners.h.
 */
#include "winners.h"

#include <math.h>
#include <stdbool.h>

static bool taken(const uint32_t *index, size_t count, size_t i)
{
    for (size_t a = 0; a < count; a++) {
        if (index[a] == i) {
            return true;
        }
    }
    return false;
}

static void insert_ascending(uint32_t *index, size_t count, size_t i)
{
    for (; count > 0 && index[count - 1] > i; count--) {
        index[count] = index[count - 1];
    }
    index[count] = (uint32_t)i;
}

void winners_ref(uint32_t *index, const double *c, size_t n, size_t k)
{
    for (size_t count = 0; count < k; count++) {
        size_t best = n;
        for (size_t i = 0; i < n; i++) {
            if (!taken(index, count, i) &&
                (best == n || c[i] > c[best] || (isnan(c[best]) && !isnan(c[i])))) {
                best = i;
            }
        }
        insert_ascending(index, count, best);
    }
}
