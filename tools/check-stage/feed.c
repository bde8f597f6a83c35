/* See feed.h. */
#include "feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 20 /* pixels of a picture */
#define GRID_X 12
#define GRID_Y 10
#define WINNERS 3
#define PIXELS ((size_t)SIDE * SIDE)
#define UNITS ((size_t)GRID_X * GRID_Y)
#define RING_BYTES ((uint64_t)256 << 20)

/* A number from 0 to 65535 that looks like chance (Marsaglia's xorshift). */
static uint32_t scatter(uint64_t a, uint64_t b)
{
    uint64_t x = (a + 1) * 0x9E3779B97F4A7C15U ^ (b + 1) * 0xD1B54A32D192ED03U;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    return (uint32_t)((x * 0x2545F4914F6CDD1DU) >> 48);
}

/* Frame t of a pass: a bar that moves over noise. */
static void draw(uint8_t *picture, uint64_t t)
{
    for (size_t p = 0; p < PIXELS; p++) {
        bool bar = (p % SIDE + t) % SIDE < 4 && (p / SIDE + t / 3) % SIDE < 12;
        picture[p] = (uint8_t)(bar ? 128 + scatter(t, p) % 128 : scatter(t / 20, p) % 16);
    }
}

static void encode(uint32_t *index, float *value, uint64_t t)
{
    for (size_t w = 0; w < WINNERS; w++) { /* one in each third of the units: ascending */
        index[w] =
            (uint32_t)(w * UNITS / WINNERS) + (uint32_t)(t / 5 + scatter(t, w) % 3) % (UNITS / WINNERS);
        value[w] = 0.1F + (float)scatter(t, w) / 65536.0F;
    }
}

static void fill(const struct feed *self, struct block *block)
{
    for (size_t i = 0; i < block->n; i++) {
        uint64_t t = (block->seq + i) % self->info.pass;
        if (self->info.kind == STREAM_FRAMES) {
            draw((uint8_t *)block->fields[0] + i * PIXELS, t);
        } else if (self->info.kind == STREAM_CODES) {
            encode((uint32_t *)block->fields[0] + i * WINNERS, (float *)block->fields[1] + i * WINNERS, t);
        } else {
            for (size_t u = 0; u < UNITS; u++) {
                ((float *)block->fields[0])[i * UNITS + u] = (float)scatter(t / 4, u) / 65536.0F;
            }
        }
    }
}

int feed_open(struct feed *self, struct endpoint_context *context, const char *endpoint,
              enum stream_kind kind, uint64_t frames, uint64_t block, const char *id)
{
    const struct producer_settings settings = {
        .endpoint = endpoint, .tap = "", .required = "*", .done_path = "", .ring_bytes = RING_BYTES};
    *self = (struct feed){.info = {.stage = "check-stage",
                                   .name = "feed",
                                   .kind = kind,
                                   .dtype = kind == STREAM_FRAMES ? STREAM_U1 : STREAM_F4,
                                   .height = kind == STREAM_FRAMES ? SIDE : 0,
                                   .width = kind == STREAM_FRAMES ? SIDE : 0,
                                   .winners = kind == STREAM_CODES ? WINNERS : 0,
                                   .grid_x = kind == STREAM_FRAMES ? 0 : GRID_X,
                                   .grid_y = kind == STREAM_FRAMES ? 0 : GRID_Y,
                                   .pass = frames / 2,
                                   .total = frames,
                                   .block = block,
                                   .ring = frames}};
    snprintf(self->info.id, sizeof self->info.id, "%s", id);
    int status = producer_new(&self->producer, context, &settings);
    return status < 0 ? status : producer_start(self->producer, &self->info, 0);
}

void feed_close(struct feed *self)
{
    producer_destroy(&self->producer);
}

/* The next block, made and handed over. */
static int make(struct feed *self, uint64_t end)
{
    struct stream_field fields[STREAM_FIELDS_MAX] = {{.row_bytes = 0}};
    struct block block = {.seq = self->made, .n = (size_t)(end - self->made)};
    (void)stream_fields(&self->info, fields);
    void *data = calloc(block.n, fields[0].row_bytes), *values = calloc(block.n, WINNERS * sizeof(float));
    int status = LOOM_OK;
    if (data == NULL || values == NULL) {
        status = error_set(LOOM_EINTERNAL, "out of memory for the known stream");
        goto done;
    }
    block.fields[0] = data;
    block.fields[1] = values; /* of codes only */
    fill(self, &block);
    self->made = end;
    status = producer_append(self->producer, &block);
done:
    free(data);
    free(values);
    return status;
}

int feed_pump(struct feed *self, uint64_t end)
{
    int status = 0;
    while (status == 0 && self->made < self->info.total) {
        uint64_t next = stream_block_end(&self->info, self->made, self->info.block);
        if (next > end) {
            break;
        }
        status = make(self, next);
    }
    return status < 0 ? status : producer_pump(self->producer);
}
