/* process.h - what the process got from whoever started it, and whether its output has arrived.
 *
 * Threads: the main thread. */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

/* Opens descriptors 0 to 2 where they are closed, so that no file of ours gets their numbers: a
 * message to stderr would else be written into it. Reading and writing them goes on failing. Call
 * before anything is opened. */
void process_fill_standard_files(void);

/* Ends the output to stdout. `code` when all of it was taken; else EXIT_NO where the code was
 * EXIT_DONE, and a line on stderr says why, except when the reader of a pipe has left. */
int process_end_output(int code);

#endif
