/* fetch.c - the change stream's requests: an LSN, and the token after a space.
 *
 * A cursor is a reader of the log and the LSN up to which it has answered. A request from just
 * there moves it on; any other LSN takes the cursor that has not been used for longest.
 *
 * Threads: one. */
#include "feed/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/parse.h"
#include "base/secret.h"
#include "feed/changes.h"
#include "feed/event_json.h"
#include "feed/json.h"

#define ANSWER_RECORDS_MAX 1000u
#define ANSWER_BYTES       MIB(1) /* a record is begun below it; that one may go beyond it */
#define LSN_DIGITS_MAX     20u

struct fetch_cursor {
    struct storage *storage;
    struct changes changes;
    bool open;
    uint64_t used; /* the number of the request that used it last */
};

struct answer {
    char *text;
    size_t len;
    size_t room;
};

struct feed_fetch {
    struct feed_fetch_options options;
    struct fetch_cursor cursors[FETCH_CURSORS_MAX];
    uint64_t requests;
    struct answer answer;
};

/* ---- Cursors ---- */

static void close_cursor(struct fetch_cursor *cursor)
{
    if (cursor->open) {
        changes_close(&cursor->changes);
    }
    cursor->open = false;
    if (cursor->storage) {
        storage_destroy(cursor->storage);
        cursor->storage = NULL;
    }
}

/* NOT_FOUND: there is no log yet. EXPIRED: with cursor->changes.oldest_lsn. */
static enum hf_status open_cursor(struct feed_fetch *fetch, struct fetch_cursor *cursor,
                                  uint64_t lsn)
{
    close_cursor(cursor);
    cursor->changes.oldest_lsn = 0;
    enum hf_status status = fetch->options.open(fetch->options.context, &cursor->storage);
    if (status == HF_OK) {
        status = changes_open(&cursor->changes, cursor->storage, lsn);
        cursor->changes.stop = fetch->options.stop;
    }
    cursor->open = status == HF_OK;
    return status;
}

/* The cursor that has answered up to just this LSN; else the one to be opened there. */
static struct fetch_cursor *cursor_for(struct feed_fetch *fetch, uint64_t lsn)
{
    struct fetch_cursor *oldest = &fetch->cursors[0];
    for (unsigned i = 0; i < FETCH_CURSORS_MAX; i++) {
        struct fetch_cursor *cursor = &fetch->cursors[i];
        if (cursor->open && cursor->changes.lsn == lsn) {
            return cursor;
        }
        if (!cursor->open ? oldest->open : oldest->open && cursor->used < oldest->used) {
            oldest = cursor;
        }
    }
    return oldest;
}

/* ---- Answers ---- */

/* Adds a line; takes the object. False: no memory. */
static bool add_line(struct answer *answer, json_t *object)
{
    char *line = json_line(object);
    size_t len = line ? strlen(line) : 0;
    if (line && answer->len + len + 1 > answer->room) {
        size_t room = 2 * (answer->len + len + 1);
        char *grown = realloc(answer->text, room);
        answer->text = grown ? grown : answer->text;
        answer->room = grown ? room : answer->room;
    }
    bool fits = line && answer->len + len + 1 <= answer->room;
    if (fits) {
        memcpy(answer->text + answer->len, line, len);
        answer->text[answer->len + len] = '\n';
        answer->len += len + 1;
        CHECK(answer->len <= answer->room);
    }
    free(line);
    return fits;
}

static void add_refusal(struct answer *answer, enum hf_status status, const char *message)
{
    add_line(answer, json_pack("{s:s, s:s}", "status", hf_status_name(status), "message", message));
}

/* The records after `*next`, a line each; moves it. OK: there are more, or may be; NOT_FOUND: the
 * log's end is reached; else why the log can't be read. */
static enum hf_status add_records(struct changes *changes, struct answer *answer, uint64_t *next)
{
    struct event event;
    uint64_t wall_ms;
    for (unsigned count = 0; count < ANSWER_RECORDS_MAX && answer->len < ANSWER_BYTES; count++) {
        enum hf_status status = changes_next(changes, &event, &wall_ms);
        if (status != HF_OK) {
            return status == HF_CANCELED ? HF_OK : status;
        }
        if (!add_line(answer, event_object(&changes->names, &event, wall_ms))) {
            return HF_NO_MEMORY;
        }
        CHECK(event.lsn > *next);
        *next = event.lsn;
    }
    return HF_OK;
}

/* The records after an LSN; then a line that says how the answer ended. */
static void answer_from(struct feed_fetch *fetch, uint64_t lsn)
{
    struct answer *answer = &fetch->answer;
    struct fetch_cursor *cursor = cursor_for(fetch, lsn);
    char text[CHANGES_TEXT_BYTES];
    uint64_t next = lsn;
    enum hf_status status = HF_OK;
    cursor->used = ++fetch->requests;
    if (!cursor->open || cursor->changes.lsn != lsn) {
        status = open_cursor(fetch, cursor, lsn);
    }
    if (cursor->open) {
        status = add_records(&cursor->changes, answer, &next);
    }
    bool end = status == HF_NOT_FOUND;
    if (end && cursor->open && next == lsn && changes_end_before(&cursor->changes, lsn, text)) {
        close_cursor(cursor);
        add_refusal(answer, HF_INVALID, text);
        return;
    }
    if (status != HF_OK && !end) {
        close_cursor(cursor);
    }
    add_line(answer, json_pack("{s:s, s:I, s:I, s:b}", "status",
                               hf_status_name(end ? HF_OK : status), "next", (json_int_t)next,
                               "oldest", (json_int_t)cursor->changes.oldest_lsn, "end", end));
}

/* Splits a request: digits up to the first space or the end, and what comes after it. False: no
 * LSN. */
static bool parse_request(struct bytes request, uint64_t *lsn, struct bytes *token)
{
    char digits[LSN_DIGITS_MAX + 1];
    char reason[REASON_BYTES];
    const uint8_t *space = request.len > 0 ? memchr(request.data, ' ', request.len) : NULL;
    size_t len = space ? (size_t)(space - request.data) : request.len;
    *token = (struct bytes){NULL, 0};
    if (space) {
        *token = (struct bytes){space + 1, request.len - len - 1};
    }
    if (len == 0 || len > LSN_DIGITS_MAX) {
        return false;
    }
    memcpy(digits, request.data, len);
    digits[len] = '\0';
    return strlen(digits) == len && parse_unsigned(digits, 0, INT64_MAX, lsn, reason);
}

struct bytes feed_fetch_answer(struct feed_fetch *fetch, struct bytes request)
{
    struct answer *answer = &fetch->answer;
    const char *expected = fetch->options.token;
    struct bytes token;
    uint64_t lsn;
    answer->len = 0;
    bool parsed = parse_request(request, &lsn, &token);
    if (expected[0] != '\0' && !secret_equal(expected, token)) {
        add_refusal(answer, HF_UNAUTHORIZED,
                    token.len > 0 ? "token: not the right one" : "token: missing");
    } else if (!parsed) {
        add_refusal(
            answer, HF_INVALID,
            "a request is an LSN in decimal digits, and, where there is a token, a space and "
            "the token");
    } else {
        answer_from(fetch, lsn);
    }
    return (struct bytes){(const uint8_t *)answer->text, answer->len};
}

/* ---- Making and freeing ---- */

struct feed_fetch *feed_fetch_make(const struct feed_fetch_options *options)
{
    struct feed_fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch) {
        fetch->options = *options;
    }
    return fetch;
}

void feed_fetch_free(struct feed_fetch *fetch)
{
    if (!fetch) {
        return;
    }
    for (unsigned i = 0; i < FETCH_CURSORS_MAX; i++) {
        close_cursor(&fetch->cursors[i]);
    }
    free(fetch->answer.text);
    free(fetch);
}
