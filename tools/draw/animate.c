/* loom draw animation: which recording, which layers, which form. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "draw.h"
#include "layers.h"
#include "options.h"
#include "recordings.h"
#include "stages/render/animation.h"

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

/* LOOM_EUSAGE if one of the list is no panel. */
static int read_panels(struct animation_settings *settings, const char *list)
{
    while (list != NULL && *list != '\0') {
        const size_t length = strcspn(list, ",");
        size_t panel = 0;
        while (panel < ANIMATION_PANELS && (strlen(animation_names[panel]) != length ||
                                            strncmp(animation_names[panel], list, length) != 0)) {
            panel++;
        }
        if (panel == ANIMATION_PANELS || settings->n_panels == ANIMATION_PANELS) {
            return error_set(
                LOOM_EUSAGE,
                "there is no panel '%.*s'; there are input, io, io_2, q, error, reconstruction, from_io, "
                "each once",
                (int)length, list);
        }
        settings->panels[settings->n_panels++] = (enum animation_panel)panel;
        list += length + (list[length] == ',' ? 1 : 0);
    }
    return LOOM_OK;
}

/* The folder of the run that a recording is of: the one that was given, or that in which the file lies; to be freed. NULL if
 * memory runs out. */
static char *run_of(const char *given, const char *recording)
{
    struct stat about;
    if (stat(given, &about) == 0 && S_ISDIR(about.st_mode)) {
        return strdup(given);
    }
    char *real = realpath(recording, NULL), *slash = real != NULL ? strrchr(real, '/') : NULL, *run = NULL;
    if (slash != NULL && asprintf(&run, "%.*s/..", (int)(slash - real), real) < 0) {
        run = NULL;
    }
    free(real);
    return run;
}

/* Read the layers of a run. What cannot be read is passed over, and there may be none. */
static int read_run(struct layers *layers, const char *given, const char *recording)
{
    char *run = run_of(given, recording);
    const int status =
        run == NULL ? error_set(LOOM_EINTERNAL, "out of memory") : layers_read_run(layers, run, true);
    free(run);
    return status;
}

/* The layers that the recording's codes and outputs are of, by their names. */
static int choose_layers(struct animation_settings *settings, const struct layers *layers, const char *name)
{
    const struct shown *invariant = NULL;
    settings->stream = name;
    if (layers->n == 0) {
        return LOOM_OK;
    }
    if (layers_choose(layers, name, true, &invariant) == LOOM_OK) {
        settings->invariant = invariant;
        settings->sparse = shelf_find(&layers->sparse, invariant);
        settings->smooth = strcmp(invariant->rule, "smooth") == 0;
    } else if (layers->sparse.n == 1) {
        settings->sparse = &layers->sparse.items[0];
    }
    return LOOM_OK;
}

/* Where to, and in which form. LOOM_EUSAGE if neither can be told. */
static int choose_form(struct animation_settings *settings, const struct draw *self)
{
    settings->path = self->out == NULL ? "animation.png" : strcmp(self->out, "-") == 0 ? NULL : self->out;
    if (settings->path == NULL || ends_with(settings->path, ".y4m")) {
        settings->form = MOVIE_Y4M;
    } else if (ends_with(settings->path, ".png") || ends_with(settings->path, ".apng")) {
        settings->form = MOVIE_APNG;
    } else {
        return error_set(LOOM_EUSAGE, "'%s' ends neither in .png or .apng nor in .y4m: in which form?",
                         settings->path);
    }
    return settings->path == NULL ? LOOM_OK : gallery_check(&self->gallery, settings->path);
}

int draw_animation(struct draw *self)
{
    struct layers layers = {0};
    char *recording = NULL, *shared = NULL, run[STREAM_NAME_BYTES] = "";
    uint64_t frames = 0;
    struct animation_settings settings = {.chosen = self->chosen,
                                          .from = self->from,
                                          .to = self->to,
                                          .per_frame = self->per_frame,
                                          .most = self->most,
                                          .scale = self->gallery.scale,
                                          .colours = self->gallery.colours,
                                          .rate = self->rate,
                                          .stop = &stop};
    int status = read_panels(&settings, self->panels);
    status = status == LOOM_OK ? choose_form(&settings, self) : status;
    status = status == LOOM_OK ? recordings_find(&recording, &shared, run, self->paths[0]) : status;
    if (status == LOOM_OK) {
        status = self->n > 1 ? layers_read(&layers, self->paths + 1, self->n - 1)
                             : read_run(&layers, self->paths[0], recording);
    }
    status = status == LOOM_OK ? choose_layers(&settings, &layers, self->layer) : status;
    if (status == LOOM_OK) {
        settings.recording = recording;
        settings.shared = shared;
        settings.run = run[0] != '\0' ? run : NULL;
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        status = animation_write(&settings, self->gallery.text, &frames);
    }
    if (status == LOOM_OK && settings.path != NULL) {
        puts(settings.path);
    }
    layers_fini(&layers);
    free(shared);
    free(recording);
    return status;
}
