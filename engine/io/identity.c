/* identity.c - which log a data directory has.
 *
 * Threads: any. */
#include "io/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "io/real.h"

#define TEXT_BYTES (ID_TEXT_BYTES) /* a UUID and the line's end */

enum hf_status identity_read(const char *directory, struct id128 *cluster)
{
    char text[TEXT_BYTES + 1] = {0};
    char again[ID_TEXT_BYTES];
    int folder = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = folder >= 0 ? openat(folder, IDENTITY_NAME, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    ssize_t got = fd >= 0 ? read(fd, text, TEXT_BYTES) : -1;
    int error = got < 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    if (folder >= 0) {
        close(folder);
    }
    if (error == ENOENT) {
        return HF_NOT_FOUND;
    }
    if (error != 0) {
        diag_warn("%s/" IDENTITY_NAME ": can't be read: %s", directory, strerror(error));
        return HF_IO_ERROR;
    }
    text[strcspn(text, "\n")] = '\0';
    *cluster = id_from_text(text, strlen(text));
    id_to_text(*cluster, again);
    return strcmp(text, again) == 0 ? HF_OK : HF_DAMAGED;
}

/* 0 or an errno. */
static int write_file(int folder, const char *name, const char *text)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, STORAGE_FILE_MODE);
    if (fd < 0) {
        return errno;
    }
    int error = real_write_all(fd, text, strlen(text), 0, 0);
    if (error == 0 && fsync(fd) != 0) {
        error = errno;
    }
    close(fd);
    return error;
}

enum hf_status identity_write(const char *directory, struct id128 cluster)
{
    static const char temporary[] = IDENTITY_NAME ".tmp";
    char text[TEXT_BYTES + 1];
    char id[ID_TEXT_BYTES];
    id_to_text(cluster, id);
    snprintf(text, sizeof text, "%s\n", id);
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = folder < 0 ? errno : write_file(folder, temporary, text);
    if (error == 0 &&
        (renameat(folder, temporary, folder, IDENTITY_NAME) != 0 || fsync(folder) != 0)) {
        error = errno;
    }
    if (error != 0 && folder >= 0) {
        (void)unlinkat(folder, temporary, 0);
    }
    if (folder >= 0) {
        close(folder);
    }
    return error == 0 ? HF_OK : real_status(error);
}
