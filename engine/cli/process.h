/* process.h - the standard files that the process was started with, and whether its output was
 * written.
 *
 * Threads: the main thread. */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

/* Opens descriptors 0 to 2 where they are closed, so that no file of ours gets their numbers:
 * otherwise a message to stderr would be written into that file. Reading and writing them still
 * fails. Call before anything is opened. */
void process_fill_standard_files(void);

/* Ends the output to stdout. Returns `code` if all of it was written. Else returns EXIT_NO instead
 * of EXIT_DONE, and prints the reason on stderr, except when the reader of a pipe has closed it. */
int process_end_output(int code);

#endif
