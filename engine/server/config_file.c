/* config_file.c - settings from an INI file: NAME = VALUE, a line each.
 *
 * A line may be as long as it likes. `;` and `#` begin a comment at a line's beginning, `;` after
 * a blank too. The value is what follows the first `=` or `:`, without the blanks around it. A
 * name may occur once, `listen` any number of times. Lines end with LF or CR LF; a byte order mark
 * of UTF-8 in front is skipped. The first mistake is reported with its line.
 *
 * Threads: one. */
#include "server/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

#define FILE_BYTES_MAX MIB(1)
#define NAMES_MAX      64u
#define NAME_SHOWN     100
#define BLANKS         " \t"

struct file {
    struct config *config;
    unsigned line; /* from 1 */
    unsigned name_count;
    struct {
        const char *name; /* in the file's text */
        unsigned line;
    } names[NAMES_MAX];
    char *error;
    size_t error_bytes;
};

/* ---- The file's bytes ---- */

/* All of the file, with a NUL after it. NULL with errno; EFBIG: longer than FILE_BYTES_MAX. */
static char *read_whole(int fd, size_t *len)
{
    char *text = malloc(FILE_BYTES_MAX + 1);
    *len = 0;
    while (text) {
        ssize_t n = read(fd, text + *len, FILE_BYTES_MAX - *len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        *len += n > 0 ? (size_t)n : 0;
        if (n == 0 && *len < FILE_BYTES_MAX) {
            CHECK(*len < FILE_BYTES_MAX);
            text[*len] = '\0';
            return text;
        }
        if (n <= 0) {
            int error = n < 0 ? errno : EFBIG;
            free(text);
            text = NULL;
            errno = error;
        }
    }
    return text;
}

/* ---- Lines ---- */

static char *trim(char *text)
{
    text += strspn(text, BLANKS);
    size_t len = strlen(text);
    while (len > 0 && strchr(BLANKS, text[len - 1])) {
        len--;
    }
    text[len] = '\0';
    return text;
}

/* A token may hold a semicolon, but not one after a blank. */
static void cut_comment(char *text)
{
    for (size_t i = 1; text[i - 1] != '\0' && text[i] != '\0'; i++) {
        if (text[i] == ';' && strchr(BLANKS, text[i - 1])) {
            text[i] = '\0';
            return;
        }
    }
}

static bool take_section(struct file *file, char *text)
{
    char *end = strchr(text, ']');
    if (!end) {
        snprintf(file->error, file->error_bytes, "a section's bracket is not closed");
        return false;
    }
    *end = '\0';
    const char *name = trim(text + 1);
    const char *behind = end + 1 + strspn(end + 1, BLANKS);
    if (*behind != '\0' && *behind != ';' && *behind != '#') {
        snprintf(file->error, file->error_bytes, "nothing may follow a section's closing bracket");
        return false;
    }
    if (name[0] != '\0' && strcmp(name, "holdfast") != 0) {
        snprintf(file->error, file->error_bytes,
                 "there is no section [%.*s]: settings belong in [holdfast] or in no section",
                 NAME_SHOWN, name);
        return false;
    }
    return true;
}

/* Remembers the name. False: it was there before. */
static bool first_time(struct file *file, const char *name)
{
    CHECK(file->name_count <= NAMES_MAX);
    if (strcmp(name, "listen") == 0) {
        return true;
    }
    for (unsigned i = 0; i < file->name_count; i++) {
        if (strcmp(file->names[i].name, name) == 0) {
            snprintf(file->error, file->error_bytes, "%.*s: line %u has it already", NAME_SHOWN,
                     name, file->names[i].line);
            return false;
        }
    }
    if (file->name_count < NAMES_MAX) { /* there are fewer settings */
        file->names[file->name_count].name = name;
        file->names[file->name_count++].line = file->line;
    }
    return true;
}

static bool take_setting(struct file *file, char *text)
{
    CHECK(file->line > 0);
    size_t name_len = strcspn(text, "=:");
    if (text[name_len] == '\0') {
        snprintf(file->error, file->error_bytes, "not of the form NAME = VALUE");
        return false;
    }
    char *value = text + name_len + 1;
    text[name_len] = '\0';
    cut_comment(value);
    value = trim(value);
    const char *name = trim(text);
    if (name[0] == '\0') {
        snprintf(file->error, file->error_bytes, "the name is missing: must be NAME = VALUE");
        return false;
    }
    if (value[0] == '\0') {
        snprintf(file->error, file->error_bytes,
                 "%.*s: its value is missing; without the line it has its default", NAME_SHOWN,
                 name);
        return false;
    }
    return first_time(file, name) &&
           config_set(file->config, name, value, true, file->error, file->error_bytes);
}

static bool take_line(struct file *file, char *line, size_t len)
{
    if (len > 0 && line[len - 1] == '\r') {
        line[--len] = '\0';
    }
    for (size_t i = 0; i < len; i++) {
        if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7F) {
            snprintf(file->error, file->error_bytes,
                     "byte %zu is a control character (0x%02x): not a text in UTF-8", i + 1,
                     (unsigned char)line[i]);
            return false;
        }
    }
    char *text = trim(line);
    if (text[0] == '\0' || text[0] == ';' || text[0] == '#') {
        return true;
    }
    return text[0] == '[' ? take_section(file, text) : take_setting(file, text);
}

static bool take_lines(struct file *file, char *text, size_t len)
{
    size_t at = len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (at < len) {
        char *line = text + at;
        char *end = memchr(line, '\n', len - at);
        size_t line_len = end ? (size_t)(end - line) : len - at;
        line[line_len] = '\0';
        at += line_len + 1;
        file->line++;
        if (!take_line(file, line, line_len)) {
            return false;
        }
    }
    return true;
}

bool config_read(struct config *config, const char *path, char *error, size_t error_bytes)
{
    char reason[640];
    struct file file = {.config = config, .error = reason, .error_bytes = sizeof reason};
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char *text = fd >= 0 ? read_whole(fd, &len) : NULL;
    int read_error = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (!text) {
        snprintf(error, error_bytes, "%s: can't be read: %s", path, strerror(read_error));
        return false;
    }
    bool fine = take_lines(&file, text, len);
    if (!fine) {
        snprintf(error, error_bytes, "%s, line %u: %s", path, file.line, reason);
    }
    free(text);
    return fine;
}
