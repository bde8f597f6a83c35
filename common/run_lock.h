/* RUN/lock: who works in a run's folder. The launcher holds it (flock) and writes its process number into it; its stages
 * hold it too, also when they have outlived it. Whether a launcher lives is therefore asked of its number, and asking
 * locks nothing. Only on the machine (and in the container) where it runs: elsewhere it seems to be dead. */
#ifndef LOOM_COMMON_RUN_LOCK_H
#define LOOM_COMMON_RUN_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

/* The launcher that wrote its number into this open file; 0 if it lives no more. */
pid_t run_lock_launcher(int lock);

/* Whether the launcher of the run in `folder` lives, be it stopped; false if there is no lock to be read. */
bool run_lock_is_alive(const char *folder);

/* Whether a run's status was written on this machine, whose name is in it ("" or NULL: it is not known, and taken to be). If
 * not (a folder on a network's disk), neither the lock nor the status' age tells whether the launcher lives: its process
 * has its number over there, and clocks differ. */
bool run_lock_is_here(const char *host);

#endif
