/* See colours.h. */
#include "colours.h"

#include <string.h>

#include "colours_tables.h"

#define TABLE(name) name, sizeof(name) / sizeof *(name)

const struct colours colours_grey = {"grey", true, false, true, "white", 0xffffff, TABLE(greys)};

static const struct colours viridis_map = {"viridis", false, false, false, "white", 0xffffff, TABLE(viridis)};
static const struct colours cividis_map = {"cividis", false, false, false, "white", 0xffffff, TABLE(cividis)};
static const struct colours redblue_map = {"redblue", false, true, false, "grey", 0x808080, TABLE(redblue)};

static const struct colours *const maps[] = {&colours_grey, &viridis_map, &cividis_map, &redblue_map};

const char *const colours_names[] = {"auto",    "grey",    "viridis",
                                     "cividis", "redblue", NULL}; /* as in `maps` */

const struct colours *colours_find(const char *name)
{
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        if (strcmp(maps[i]->name, name) == 0) {
            return maps[i];
        }
    }
    return NULL;
}

const struct colours *colours_choose(size_t choice, bool negative)
{
    if (choice == 0) {
        return negative ? &redblue_map : &colours_grey;
    }
    return maps[choice - 1];
}

/* One channel, `shift` bits up, between two colours. */
static uint32_t mix(uint32_t from, uint32_t to, unsigned shift, double step)
{
    const double low = from >> shift & 0xff, high = to >> shift & 0xff;
    return (uint32_t)(low + step * (high - low) + 0.5) << shift;
}

uint32_t colours_at(const struct colours *self, double part)
{
    if (!(part > 0)) {
        return self->table[0];
    }
    const double place = (part < 1 ? part : 1) * (double)(self->n - 1);
    const size_t below = place < (double)(self->n - 2) ? (size_t)place : self->n - 2;
    const double step = place - (double)below;
    const uint32_t from = self->table[below], to = self->table[below + 1];
    return mix(from, to, 16, step) | mix(from, to, 8, step) | mix(from, to, 0, step);
}
