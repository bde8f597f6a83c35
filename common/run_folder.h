/* RUN, the folder of a run: what of a run lies elsewhere. A member of a sweep has a folder that is laid out like that of a
 * run, but what all members share (recordings, metrics, the state of the stages) lies once, in the sweep's folder above. */
#ifndef LOOM_COMMON_RUN_FOLDER_H
#define LOOM_COMMON_RUN_FOLDER_H

/* The folder of the sweep that the run in `folder` is a member of: an absolute path, to be freed. NULL if it is none (or
 * memory runs out). */
char *run_folder_sweep(const char *folder);

#endif
