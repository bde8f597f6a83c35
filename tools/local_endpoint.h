/* Endpoints of sockets in a run's folder, for the tools. */
#ifndef LOOM_TOOLS_LOCAL_ENDPOINT_H
#define LOOM_TOOLS_LOCAL_ENDPOINT_H

#include "error.h"

/* The endpoint that `path` is, if it has a scheme, or ipc:// of a socket's path: one that is too long for a socket
 * goes through its folder's descriptor, *folder, which must stay open while the socket is in use; -1: there is none.
 * The caller frees *endpoint, NULL on failure, and closes *folder. LOOM_EPEER if there is no such folder. */
int local_endpoint(const char *path, char **endpoint, int *folder) LOOM_MUST_CHECK;

#endif
