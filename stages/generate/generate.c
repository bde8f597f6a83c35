/* generate: frames of a window that moves over a tapestry.
 *
 * A source. Every frame is a function of the parameters and its number alone, so that any block can be made
 * again. The tapestry is read and the positions of a whole pass are computed when the stage opens (8 bytes a
 * frame); every pass shows the same frames. Frames are u1 if 8 bits hold the tapestry exactly, else f4; the
 * window's column and row travel along. Limits: square windows, 100 million frames a pass. Source: the
 * notebooks' experiments A and B. */
#include <stdlib.h>

#include "../pace.h"
#include "stage.h"
#include "tapestry.h"
#include "trajectory.h"

#define FRAMES_MAX 1e8
#define PASSES_MAX 1e9

struct generate {
    char *path;     /* of the tapestry */
    int64_t first;  /* image of an IDX file */
    int64_t side;   /* tiles */
    int64_t tile;   /* pixels; 0: as the file says */
    int64_t frames; /* a pass */
    int64_t passes;
    int64_t window; /* pixels */
    int motion;     /* enum motion */
    double speed;   /* pixels a frame */
    int64_t hold;   /* frames */
    int64_t seed;
    double rate; /* frames/s; 0: as fast as they are read */

    struct tapestry tapestry;
    int32_t *at; /* frames x 2: where the window is in each frame of a pass */
    struct pace pace;
};

#define FIELD(field) offsetof(struct generate, field)

static const char *const motions[] = {"inertial", "walk", "linear", "saccade", NULL}; /* enum motion */

static const struct param params[] = {
    {.name = "tapestry",
     .type = PARAM_PATH,
     .offset = FIELD(path),
     .fallback = "",
     .unit = "",
     .help = "picture to move over: a PNG, or an IDX file of digits, plain or gzip",
     .flags = PARAM_REQUIRED},
    {.name = "first",
     .type = PARAM_INTEGER,
     .offset = FIELD(first),
     .fallback = "0",
     .min = 0,
     .max = 4294967295.0,
     .unit = "",
     .help = "image of the IDX file with which the tapestry begins"},
    {.name = "side",
     .type = PARAM_INTEGER,
     .offset = FIELD(side),
     .fallback = "30",
     .min = 2,
     .max = 16384,
     .unit = "tiles",
     .help = "side of the tapestry laid out from an IDX file"},
    {.name = "tile",
     .type = PARAM_INTEGER,
     .offset = FIELD(tile),
     .fallback = "0",
     .min = 0,
     .max = 65535,
     .unit = "pixels",
     .help =
         "side of a tile, over which the edges of a PNG may repeat; 0: what an IDX file says, 28 for a PNG"},
    {.name = "frames",
     .type = PARAM_INTEGER,
     .offset = FIELD(frames),
     .fallback = "10000",
     .min = 1,
     .max = FRAMES_MAX,
     .unit = "frames",
     .help = "frames of one pass; every pass shows the same ones"},
    {.name = "passes",
     .type = PARAM_INTEGER,
     .offset = FIELD(passes),
     .fallback = "20",
     .min = 0,
     .max = PASSES_MAX,
     .unit = "passes",
     .help = "how often the frames are shown; 0: not at all, so that layers stay as initialised"},
    {.name = "window",
     .type = PARAM_INTEGER,
     .offset = FIELD(window),
     .fallback = "20",
     .min = 1,
     .max = 1024,
     .unit = "pixels",
     .help = "side of the window, which is the side of a frame"},
    {.name = "motion",
     .type = PARAM_CHOICE,
     .offset = FIELD(motion),
     .fallback = "inertial",
     .unit = "",
     .help =
         "how the window moves: smoothly with inertia, as a random walk, straight on, or in jumps with rests",
     .choices = motions},
    {.name = "speed",
     .type = PARAM_REAL,
     .offset = FIELD(speed),
     .fallback = "3",
     .min = 0,
     .max = 1000,
     .unit = "pixels/frame",
     .help =
         "largest speed of the window in each direction, for saccade its mean; linear: its constant speed"},
    {.name = "hold",
     .type = PARAM_INTEGER,
     .offset = FIELD(hold),
     .fallback = "20",
     .min = 1,
     .max = FRAMES_MAX,
     .unit = "frames",
     .help =
         "how long the window keeps its acceleration (inertial), its direction (linear), or still (saccade)"},
    {.name = "seed",
     .type = PARAM_INTEGER,
     .offset = FIELD(seed),
     .fallback = "1",
     .min = 0,
     .max = 9007199254740992.0,
     .unit = "",
     .help = "determines the window's path"},
    {.name = "rate",
     .type = PARAM_REAL,
     .offset = FIELD(rate),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .unit = "frames/s",
     .help = "at most so many frames a second; 0: as fast as they are read",
     .flags = PARAM_LOCAL},
    {0},
};

static int generate_open(const struct stage_context *context, void *state)
{
    (void)context;
    struct generate *self = state;
    if (self->path == NULL || self->path[0] == '\0') {
        return error_set(LOOM_EUSAGE, "no tapestry given; set `tapestry` to a PNG or an IDX file");
    }
    const struct tapestry_config tapestry = {.path = self->path,
                                             .window = (size_t)self->window,
                                             .first = (size_t)self->first,
                                             .side = (size_t)self->side,
                                             .tile = (size_t)self->tile};
    const int status = tapestry_init(&self->tapestry, &tapestry);
    if (status != LOOM_OK) {
        return status;
    }
    self->at = malloc((size_t)self->frames * 2 * sizeof *self->at);
    if (self->at == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the positions of %lld frames",
                         (long long)self->frames);
    }
    const struct trajectory_config trajectory = {.motion = (enum motion)self->motion,
                                                 .seed = (uint64_t)self->seed,
                                                 .speed = self->speed,
                                                 .hold = (uint64_t)self->hold,
                                                 .period_x = self->tapestry.period_x,
                                                 .period_y = self->tapestry.period_y};
    trajectory_compute(self->at, (size_t)self->frames, &trajectory);
    return LOOM_OK;
}

static int generate_configure(const struct stage_context *context, void *state, struct stream_info *output)
{
    (void)context;
    const struct generate *self = state;
    output->kind = STREAM_FRAMES;
    output->dtype = self->tapestry.bytes != NULL ? STREAM_U1 : STREAM_F4;
    output->height = output->width = (size_t)self->window;
    output->at = true;
    output->pass = (uint64_t)self->frames;
    output->total = (uint64_t)self->frames * (uint64_t)self->passes;
    output->repeats = true;
    output->block = pace_block(self->rate);
    return LOOM_OK;
}

static int generate_produce(const struct stage_context *context, void *state, struct block *out)
{
    (void)context;
    struct generate *self = state;
    pace_keep(&self->pace, self->rate, out->seq);
    const size_t pixels = (size_t)(self->window * self->window);
    const size_t frame_bytes = pixels * (self->tapestry.bytes != NULL ? sizeof(uint8_t) : sizeof(float));
    int32_t *at = out->fields[1];
    for (size_t i = 0; i < out->n; i++) {
        const int32_t *from = self->at + 2 * ((out->seq + i) % (uint64_t)self->frames);
        at[2 * i] = from[0];
        at[2 * i + 1] = from[1];
        tapestry_cut(&self->tapestry, (uint8_t *)out->fields[0] + i * frame_bytes, (size_t)from[0],
                     (size_t)from[1]);
    }
    return LOOM_OK;
}

static void generate_close(const struct stage_context *context, void *state)
{
    (void)context;
    struct generate *self = state;
    tapestry_fini(&self->tapestry);
    free(self->at);
    self->at = NULL;
}

static const struct stage stage = {
    .name = "generate",
    .summary = "frames of a window that moves over a tapestry",
    .output = STREAM_FRAMES,
    .state_bytes = sizeof(struct generate),
    .params = params,
    .open = generate_open,
    .configure = generate_configure,
    .produce = generate_produce,
    .close = generate_close,
};

int main(int argc, char **argv)
{
    return stage_main(&stage, argc, argv);
}
