/* preflight.h - what can be known before an engine makes or changes anything: whether it may listen
 * where it shall, and whether its directories are there or can be made.
 *
 * Nothing is made, opened for writing, listened on or connected to. What is found here may change
 * until it is needed, so it is checked again when it is needed.
 *
 * Threads: any. */
#ifndef SERVER_PREFLIGHT_H
#define SERVER_PREFLIGHT_H

#include "server/config.h"

#define PREFLIGHT_REASON_BYTES 1536u

/* Whether an address can be listened on now. False: reason (PREFLIGHT_REASON_BYTES) says why not:
 * it is no address, in use, none of this machine's, or the user may not; for a path, what is wrong
 * with its folder, or what else is there. data: a folder that will be made in time; NULL: none. */
bool preflight_address(const char *url, const char *data, char *reason);

/* Whether an engine with these settings, checked by config_check(), can start as far as it can be
 * known: descriptors, its directories, whose they are, and all its addresses. False: reason says
 * what is in the way, with the setting's name. */
bool preflight(const struct config *config, char *reason);

#endif
