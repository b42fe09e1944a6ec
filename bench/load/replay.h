/* replay.h - carries out a trace on an engine and compares the outcome.
 *
 * Every SKU is stocked with what the file sells and writes off, so nothing is ever refused and the
 * end is known: each id comes from the file's content, so the same file run again, after a crash or
 * for the fun of it, changes nothing and ends the same. Threads: one calls. */
#ifndef LOAD_REPLAY_H
#define LOAD_REPLAY_H

#include "load/link.h"
#include "load/options.h"

/* Runs options->trace and reports on stdout. Returns the exit code, as cmd_load(). */
int replay_run(const struct load_options *options, const struct link *link);

#endif
