/* loom draw: pictures, curves and animations of layer files, recordings and runs.
 *
 * It draws with what the stage render draws with, so the pictures are the same. Nothing is overwritten unless
 * --force is given, and a file is there whole or not at all. Limits: those of draw.h and plot.h. */
#include "draw.h"

#include <argp.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "options.h"

enum {
    KEY_COLOURS = 0x100,
    KEY_PER_UNIT,
    KEY_SEPARATORS,
    KEY_SCALE,
    KEY_PLAIN,
    KEY_LAYER,
    KEY_UNIT,
    KEY_METRICS,
    KEY_LOG,
    KEY_LINEAR,
    KEY_FRAMES,
    KEY_COLUMNS,
    KEY_ONE_SCALE,
    KEY_PER_RUN,
    KEY_PANELS,
    KEY_PER_FRAME,
    KEY_RATE,
    KEY_MOST,
    KEY_FORCE
};

#define BIT(key) (1U << ((unsigned)(key)-0x100))
#define MAP_OPTIONS (BIT(KEY_COLOURS) | BIT(KEY_SCALE) | BIT(KEY_PLAIN) | BIT(KEY_LAYER))

static const struct picture {
    const char *name;
    int (*draw)(struct draw *self);
    unsigned options; /* that it takes beside -o and --force */
} pictures[] = {
    {"weights", draw_weights, MAP_OPTIONS | BIT(KEY_PER_UNIT) | BIT(KEY_SEPARATORS)},
    {"prototypes", draw_prototypes, MAP_OPTIONS | BIT(KEY_PER_UNIT) | BIT(KEY_SEPARATORS)},
    {"coverage", draw_coverage, MAP_OPTIONS},
    {"unit", draw_unit, MAP_OPTIONS | BIT(KEY_UNIT)},
    {"curves", draw_curves, BIT(KEY_METRICS) | BIT(KEY_LOG) | BIT(KEY_LINEAR)},
    {"tapestry", draw_tapestry, BIT(KEY_FRAMES)},
    {"window", draw_window, BIT(KEY_FRAMES)},
    {"animation", draw_animation,
     BIT(KEY_FRAMES) | BIT(KEY_COLOURS) | BIT(KEY_SCALE) | BIT(KEY_LAYER) | BIT(KEY_PANELS) |
         BIT(KEY_PER_FRAME) | BIT(KEY_RATE) | BIT(KEY_MOST)},
    {"sheet", draw_sheets,
     BIT(KEY_COLOURS) | BIT(KEY_LAYER) | BIT(KEY_COLUMNS) | BIT(KEY_ONE_SCALE) | BIT(KEY_PER_RUN)},
};

#define N_PICTURES (sizeof pictures / sizeof *pictures)

struct command {
    struct draw draw;
    const struct picture *picture;
    unsigned given; /* options, as BIT */
    const char **paths;
};

static const struct argp_option options[] = {
    {"output", 'o', "OUT", 0,
     "file to write, .png (an animation: also .apng or .y4m; default: by the picture's name, in the current "
     "folder)",
     1},
    {"force", KEY_FORCE, NULL, 0, "overwrite it", 1},
    {"colours", KEY_COLOURS, "MAP", 0,
     "grey (as in the notebooks), viridis, cividis, redblue (0 in the middle), or auto (default): grey, and "
     "redblue "
     "where there are numbers below 0",
     2},
    {"scale", KEY_SCALE, "K", 0, "pixels a number (default: a picture of about 1000 pixels)", 2},
    {"plain", KEY_PLAIN, NULL, 0, "no margin, title and colour bar", 2},
    {"per-unit", KEY_PER_UNIT, NULL, 0, "each unit's colours go up to its own largest number, not all units'",
     2},
    {"separators", KEY_SEPARATORS, NULL, 0, "thin lines between units", 2},
    {"layer", KEY_LAYER, "NAME", 0, "which layer, where there are several", 3},
    {"unit", KEY_UNIT, "N", 0, "number of the unit; or least or most: the sparse unit that is covered so", 3},
    {"metrics", KEY_METRICS, "LIST", 0, "curves: only these metrics, with commas", 3},
    {"log", KEY_LOG, NULL, 0,
     "curves: logarithmic, without values of 0 and less (default: where the largest is 20 times the "
     "smallest)",
     3},
    {"linear", KEY_LINEAR, NULL, 0, "curves: never logarithmic", 3},
    {"frames", KEY_FRAMES, "A..B", 0,
     "frames A to B, both included; A.. to the end (default: tapestry the first pass, window its first 500, "
     "animation the first 500 of the last pass that has as many)",
     3},
    {"panels", KEY_PANELS, "LIST", 0, "animation: these panels, with commas", 3},
    {"per-frame", KEY_PER_FRAME, NULL, 0,
     "animation: as in the notebooks, each frame goes from 0 to its own largest number, whichever panel that "
     "is in",
     3},
    {"most", KEY_MOST, "X", 0,
     "animation: the output at the end of the colours (default: the largest in all frames, for which a "
     "recording "
     "that grows is waited for)",
     3},
    {"rate", KEY_RATE, "N", 0, "animation: frames a second (default: 5)", 3},
    {"columns", KEY_COLUMNS, "N", 0, "sheet: how many runs stand in a row (default: about a square)", 3},
    {"one-scale", KEY_ONE_SCALE, NULL, 0,
     "sheet: one scale of colours for all runs (default: unless some run's numbers would have less than a "
     "third of "
     "it)",
     3},
    {"per-run", KEY_PER_RUN, NULL, 0, "sheet: each run has a scale of its own, which its label tells", 3},
    {0},
};

static const char documentation[] =
    "Draw a layer file, a recording or a run's folder. Prints the files that it made. Of a run that is still "
    "learning, the layers of its newest checkpoints are drawn; the picture says of which frame.\n\n"
    "  weights     a layer's weights, a tile a unit, in the order of the grid\n"
    "  prototypes  each invariant unit seen in pixels: its weights times the\n"
    "              sparse ones\n"
    "  coverage    for each sparse unit, the sum of its weights to all\n"
    "              invariant units\n"
    "  unit        one unit, its number and place\n"
    "  curves      every metric over the passes, of one run or several together\n"
    "  tapestry    what the window moves over, and its way there\n"
    "  window      the same from near: the way of its first 500 frames\n"
    "  animation   input, outputs and reconstruction beside each other, frame by\n"
    "              frame, also while they are recorded: what is still to come is\n"
    "              waited for\n"
    "  sheet       a layer in all runs of a folder, such as a sweep's, beside\n"
    "              each other, with the pass and frame of each; on one scale of\n"
    "              colours, unless ranges are so unlike that a run would be left\n"
    "              with less than a third of it: then each has its own, which its\n"
    "              label tells\n"
    "\vPanels of an animation. t is the frame shown, io(t) the invariant layer's\n"
    "output (0 before a pass begins), W and U the weights in the layers' files, or\n"
    "in the newest checkpoints of a run that is learning:\n"
    "  input           the frame, from 0 to 1\n"
    "  io              io(t)\n"
    "  io_2            io(t - 1), that in the middle of three\n"
    "  q               (io(t) + io(t - 2)) / 2, that interpolated\n"
    "  error           |io_2 - q|\n"
    "  reconstruction  sum of p_i W_i over the winners i that were recorded, from\n"
    "                  0 to 1; p_i is the drive of unit i by the frame (where no\n"
    "                  frames were recorded, from the code)\n"
    "  from_io         the code U' io, seen in pixels like a code: what the\n"
    "                  invariant output knows of the frame\n"
    "io, io_2, q and error share one scale, up to the largest output in all frames\n"
    "(or --most); so has from_io one of its own. By default there are input, io,\n"
    "reconstruction; above a layer of rule smooth input, io_2, q, error,\n"
    "reconstruction: those of the notebooks. OUT.png moves in every browser (APNG);\n"
    "OUT.y4m, or - for standard output, is for ffmpeg and other players.\n\n"
    "For example:\n"
    "  loom draw weights runs/topo/layers/sparse.h5 --per-unit --colours viridis\n"
    "  loom draw prototypes runs/topo -o prototypes.png\n"
    "  loom draw unit runs/topo --unit least\n"
    "  loom draw curves runs/b3 runs/b4 --metrics homogeneity,coverage_min\n"
    "  loom draw animation runs/topo -o topo.png\n"
    "  loom draw animation runs/topo --frames 0.. --most 1 --rate 50 -o - | ffplay -\n\n"
    "Exit codes: 0 done, 64 bad usage, 65 a file that is damaged or of another kind, 74 I/O error, 130 an "
    "animation was interrupted: it is there with the frames so far.";

static const struct picture *find_picture(const char *name)
{
    for (size_t i = 0; i < N_PICTURES; i++) {
        if (strcmp(pictures[i].name, name) == 0) {
            return &pictures[i];
        }
    }
    return NULL;
}

static void take_path(struct command *self, const struct argp_state *state, const char *argument)
{
    if (self->picture == NULL) {
        self->picture = find_picture(argument);
        if (self->picture == NULL) {
            argp_error(state, "there is no picture '%s'; see --help", argument);
        }
        return;
    }
    self->paths[self->draw.n++] = argument;
}

/* Their index in colours_names. */
static size_t read_colours(const struct argp_state *state, const char *name)
{
    size_t i = 0;
    while (colours_names[i] != NULL && strcmp(colours_names[i], name) != 0) {
        i++;
    }
    if (colours_names[i] == NULL) {
        argp_error(state, "there are no colours '%s'; there are auto, grey, viridis, cividis and redblue",
                   name);
    }
    return i;
}

static void check(const struct command *self, const struct argp_state *state)
{
    if (self->picture == NULL) {
        argp_error(state, "which picture? See --help");
        return;
    }
    if (self->draw.n == 0) {
        argp_error(state, "%s of what? Give a file, or a run's folder", self->picture->name);
    }
    for (const struct argp_option *option = options; option->name != NULL; option++) {
        if (option->key >= 0x100 && option->key != KEY_FORCE && (self->given & BIT(option->key)) != 0 &&
            (self->picture->options & BIT(option->key)) == 0) {
            argp_error(state, "--%s does not go with %s", option->name, self->picture->name);
        }
    }
    if (self->draw.out != NULL && strcmp(self->draw.out, "-") == 0 && self->picture->draw != draw_animation) {
        argp_error(state, "only an animation goes to standard output");
    }
    if (self->picture->draw == draw_unit && self->draw.unit == NULL) {
        argp_error(state, "which unit? Give --unit NUMBER, or least, or most");
    }
}

/* An option without a value; false if `key` is none. */
static bool take_flag(struct draw *self, int key)
{
    switch (key) {
    case KEY_FORCE:
        self->gallery.keep = false;
        return true;
    case KEY_PLAIN:
        self->gallery.plain = true;
        return true;
    case KEY_PER_UNIT:
        self->gallery.per_unit = true;
        return true;
    case KEY_SEPARATORS:
        self->gallery.separators = true;
        return true;
    case KEY_LOG:
        self->scale = PLOT_LOG;
        return true;
    case KEY_LINEAR:
        self->scale = PLOT_LINEAR;
        return true;
    case KEY_ONE_SCALE:
        self->one = COMPARE_ONE;
        return true;
    case KEY_PER_RUN:
        self->one = COMPARE_OWN;
        return true;
    case KEY_PER_FRAME:
        self->per_frame = true;
        return true;
    default:
        return false;
    }
}

/* An option whose value is a word; false if `key` is none. */
static bool take_word(struct draw *self, int key, const char *word)
{
    switch (key) {
    case 'o':
        self->out = word;
        return true;
    case KEY_LAYER:
        self->layer = word;
        return true;
    case KEY_METRICS:
        self->metrics = word;
        return true;
    case KEY_PANELS:
        self->panels = word;
        return true;
    default:
        return false;
    }
}

/* An option whose value must be of some kind; false if `key` is none. */
static bool take_value(struct draw *self, int key, const char *value, const struct argp_state *state)
{
    switch (key) {
    case KEY_COLOURS:
        self->gallery.colours = read_colours(state, value);
        return true;
    case KEY_SCALE:
        self->gallery.scale = (size_t)option_whole(state, "scale", value, 1, 100);
        return true;
    case KEY_UNIT:
        if (strcmp(value, "least") != 0 && strcmp(value, "most") != 0) {
            (void)option_whole(state, "unit", value, 0, UINT32_MAX);
        }
        self->unit = value;
        return true;
    case KEY_FRAMES:
        option_frames(state, value, &self->from, &self->to);
        self->chosen = true;
        return true;
    case KEY_MOST:
        self->most = option_number(state, "most", value, 1e-30, 1e30);
        return true;
    case KEY_RATE:
        self->rate = option_number(state, "rate", value, 0.01, 1000);
        return true;
    case KEY_COLUMNS:
        self->columns = (size_t)option_whole(state, "columns", value, 1, 1000);
        return true;
    default:
        return false;
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct command *self = state->input;
    self->given |= key >= 0x100 && key < 0x120 ? BIT(key) : 0;
    if (key == ARGP_KEY_ARG) {
        take_path(self, state, argument);
    } else if (key == ARGP_KEY_END) {
        check(self, state);
    } else if (!take_flag(&self->draw, key) && !take_word(&self->draw, key, argument) &&
               !take_value(&self->draw, key, argument, state)) {
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* A picture is a PNG whatever its file is called; so it must be called one. An animation looks for itself. */
static int check_ending(const struct command *self)
{
    const char *out = self->draw.out;
    return out == NULL || ends_with(out, ".png") || self->picture->draw == draw_animation
               ? LOOM_OK
               : error_set(LOOM_EUSAGE,
                           "'%s' does not end in .png: pictures are PNG files (only an animation may also be "
                           ".apng or .y4m)",
                           out);
}

static int run(struct command *self)
{
    struct draw *draw = &self->draw;
    draw->paths = self->paths;
    draw->gallery.folder = ".";
    draw->gallery.path = draw->out;
    draw->gallery.list = stdout;
    draw->gallery.final = true;
    draw->gallery.scale_all = true;
    draw->gallery.silent = true;
    int status = check_ending(self);
    if (status == LOOM_OK && draw->out != NULL && strcmp(draw->out, "-") != 0) {
        status = gallery_check(&draw->gallery, draw->out);
    }
    if (status != LOOM_OK) {
        return status;
    }
    if (text_new(&draw->gallery.text) != LOOM_OK) {
        log_warning("pictures will have no letters: %s", error_message());
    }
    const int drawn = self->picture->draw(draw);
    if ((fflush(stdout) != 0 || ferror(stdout)) && drawn == LOOM_OK) { /* the list of files */
        return error_set(LOOM_EIO, "cannot write to standard output: %s", strerror(errno));
    }
    return drawn;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "weights|prototypes|coverage|unit|curves|tapestry|window|animation|sheet "
                    "FILE|RUN...",
        .doc = documentation};
    struct command self = {.draw = {.rate = 5, .gallery = {.keep = true}}};
    self.paths = calloc((size_t)argc + 1, sizeof *self.paths);
    if (self.paths == NULL) {
        log_error("out of memory");
        return -LOOM_EINTERNAL;
    }
    options_parse(&argp, argc, argv, 0, "draw", &self);
    const int status = run(&self);
    if (status < 0) {
        log_error("%s", error_message());
    }
    gallery_fini(&self.draw.gallery);
    free(self.paths);
    return -status;
}
