/* process.c - see process.h.
 *
 * Threads: the main thread. */
#include "cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"

void process_fill_standard_files(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            continue;
        }
        /* open() takes the lowest free number, which is this one. It is opened for the wrong
         * direction, so that its use fails. */
        (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}

/* Whether the reader of a pipe has closed it, as `head` does: that is not an error to report. */
static bool reader_left(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

int process_end_output(int code)
{
    bool failed_before = ferror(stdout) != 0;
    errno = 0;
    bool failed = fflush(stdout) != 0;
    int error = errno;
    if (!failed && !failed_before) {
        return code;
    }
    if (error != EPIPE && !reader_left()) {
        fprintf(stderr, "holdfast: writing the output failed%s%s\n", error ? ": " : "",
                error ? strerror(error) : "");
    }
    return code == EXIT_DONE ? EXIT_NO : code;
}
