/* See run_pictures.h. */
#include "run_pictures.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "curves.h"
#include "hdf5_file.h"
#include "trail.h"

static void draw_metrics(struct gallery *self, const char *folder)
{
    struct curves curves = {0};
    struct image image = {0};
    char *path = NULL;
    if (asprintf(&path, "%s/metrics.jsonl", folder) < 0 || access(path, F_OK) != 0) {
        free(path);
        return;
    }
    int status = curves_read(&curves, path, self->run != NULL ? self->run : "");
    if (status != LOOM_OK || curves.n > 0) { /* a run without a whole pass has none */
        if (status == LOOM_OK) {
            status = curves_draw(&image, &curves, NULL, PLOT_AUTO, self->text);
        }
        gallery_write(self, status, &image, "metrics", "", "Metrics");
    }
    curves_fini(&curves);
    free(path);
}

void run_pictures_trail(struct gallery *self, const char *recording)
{
    struct trail trail = {0};
    bool told = false;
    int status = trail_is_told(recording, &told);
    if (status == LOOM_OK && !told) {
        return;
    }
    if (status == LOOM_OK) {
        status = trail_read(&trail, recording, 0, TRAIL_END);
    }
    for (int near = 0; near < 2; near++) {
        struct image image = {0};
        if (status == LOOM_OK) {
            status = trail_draw(&image, &trail, near == 1 ? TRAIL_WINDOW_FRAMES : 0, near == 1, self->run,
                                self->text);
        }
        gallery_write(self, status, &image, trail.name, near == 1 ? "-moving" : "-tapestry",
                      "The way of the window over the tapestry");
    }
    trail_fini(&trail);
}

void run_pictures_draw(struct gallery *self, const char *folder)
{
    struct dirent **entries = NULL;
    char *recordings = NULL;
    draw_metrics(self, folder);
    const int n = asprintf(&recordings, "%s/recordings", folder) < 0
                      ? -1
                      : scandir(recordings, &entries, hdf5_is_named, alphasort);
    for (int i = 0; i < n; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s/%s", recordings, entries[i]->d_name) >= 0) {
            run_pictures_trail(self, path);
            free(path);
        }
        free(entries[i]);
    }
    free(entries);
    free(recordings);
}
