/* secret.c - see secret.h. */
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM       (TOKEN_BYTES_MAX + 3) /* a line end, and one byte that is too much */
#define OTHERS_MAY (S_IRWXO | S_IWGRP)

static bool read_all(int fd, char *text, size_t *len)
{
    *len = 0;
    while (*len < ROOM) {
        ssize_t n = read(fd, text + *len, ROOM - *len);
        if (n == 0) {
            return true;
        }
        if (n < 0 && errno != EINTR) {
            return false;
        }
        *len += n > 0 ? (size_t)n : 0;
    }
    return true;
}

const char *secret_fault(const char *text, size_t len)
{
    if (len == 0) {
        return "it is empty";
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' || text[i] == '\r') {
            return "it holds more than one line";
        }
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F) {
            return "it holds a control character";
        }
    }
    return NULL;
}

bool secret_read(const char *path, char *token, char *reason, size_t reason_bytes)
{
    char text[ROOM];
    size_t len = 0;
    struct stat about = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &about) != 0 || !read_all(fd, text, &len)) {
        snprintf(reason, reason_bytes, "%s: can't be read: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    close(fd);
    if (S_ISREG(about.st_mode) && (about.st_mode & OTHERS_MAY) != 0) {
        snprintf(reason, reason_bytes,
                 "%s: its mode %04o lets others read or change the token: chmod 600 keeps them out",
                 path, (unsigned)(about.st_mode & 0777));
        return false;
    }
    len -= len > 0 && text[len - 1] == '\n';
    len -= len > 0 && text[len - 1] == '\r';
    const char *fault = secret_fault(text, len);
    if (fault || len > TOKEN_BYTES_MAX) {
        snprintf(reason, reason_bytes, "%s: %s", path, fault ? fault : "the token is too long");
        if (!fault) {
            snprintf(reason, reason_bytes, "%s: the token is longer than %u bytes", path,
                     TOKEN_BYTES_MAX);
        }
        return false;
    }
    memcpy(token, text, len);
    token[len] = '\0';
    return true;
}
