/* load.h - `holdfast load`: sends real traffic and checks afterwards that every answer was kept.
 *
 * Two ways to run: made-up demand for a while (traffic.h), or a file of real orders (replay.h).
 * Both end with an oracle: what the engine acknowledged is asked back. Threads: the caller's, those
 * of the client library, and some of its own while orders are asked back. */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

/* Runs the subcommand; argv[0] is its name. Returns the exit code: 0 done and everything was kept;
 * 1 something was oversold, undersold, lost or duplicated; 2 wrong usage; 3 the engine can't be
 * reached. */
int cmd_load(int argc, char **argv);

#endif
