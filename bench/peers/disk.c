/* disk.c - the disk's limits: durable writes and sequential reads, one at a time.
 *
 * --mode write: O_DIRECT writes with RWF_DSYNC of --batch bytes, one after another, over a file
 * that was written with zeros and synced before, as the engine prepares its segments.
 * --mode read: O_DIRECT reads of --batch bytes in the file's order. The file stays.
 * One thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "peer.h"

#define FILE_BYTES ((off_t)256 << 20)
#define CHUNK      ((size_t)1 << 20)

static int open_file(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (file < 0) {
        peer_fail("%s: %s (O_DIRECT is needed)", path, strerror(errno));
    }
    return file;
}

/* Written, not only allocated: else each sync would also commit the file system's journal. */
static void fill(int file)
{
    if (lseek(file, 0, SEEK_END) >= FILE_BYTES) {
        return;
    }
    char *buffer = aligned_alloc(4096, CHUNK);
    if (!buffer) {
        peer_fail("out of memory");
    }
    memset(buffer, 0, CHUNK);
    for (off_t at = 0; at < FILE_BYTES; at += (off_t)CHUNK) {
        if (pwrite(file, buffer, CHUNK, at) != (ssize_t)CHUNK) {
            peer_fail("preparing the file: %s", strerror(errno));
        }
    }
    if (fsync(file) != 0) {
        peer_fail("fsync: %s", strerror(errno));
    }
    free(buffer);
}

static void work(struct peer_worker *worker)
{
    const struct peer_options *options = worker->options;
    size_t bytes = options->batch;
    bool writing = strcmp(options->mode, "write") == 0;
    char *buffer = aligned_alloc(4096, bytes);
    if (!buffer) {
        peer_fail("out of memory");
    }
    int file = open_file(options->file);
    memset(buffer, 0x5a, bytes);
    off_t at = 0;
    do {
        struct iovec part = {buffer, bytes};
        uint64_t since = peer_now_ns();
        ssize_t done =
            writing ? pwritev2(file, &part, 1, at, RWF_DSYNC) : pread(file, buffer, bytes, at);
        if (done != (ssize_t)bytes) {
            peer_fail("%s of %zu bytes: %s", options->mode, bytes, strerror(errno));
        }
        peer_count(worker, 1, since);
        at += (off_t)bytes;
        if (at + (off_t)bytes > FILE_BYTES) {
            at = 0;
        }
    } while (peer_goes_on());
    close(file);
    free(buffer);
}

int main(int argc, char **argv)
{
    struct peer_options options;
    peer_options_parse(&options, argc, argv);
    if (!options.file || !options.mode || options.batch % 4096 != 0 || options.batch > 64u << 20) {
        peer_fail("--file, --mode read|write and --batch BYTES (a multiple of 4096) are needed");
    }
    int file = open_file(options.file); /* before any time counts: it can take a second */
    fill(file);
    close(file);
    options.connections = 1;
    peer_run(&options, work);
    return 0;
}
