/* serve_stream.c - the change stream of a running engine, for other services.
 *
 * The publisher passes over what was written before it began, and tells what came since. The
 * responder keeps the place where its last answer ended: who catches up asks on from there, and
 * that costs no search.
 *
 * Threads: the publisher and the responder; each has its own view of the log. All signals are
 * blocked in them. */
#include "cli/serve_stream.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/log.h"
#include "cli/changes.h"
#include "cli/overlay.h"
#include "cli/values.h"
#include "rpc/stream.h"

#define POLL_NS            5000000L
#define ANSWER_RECORDS_MAX 1000u
#define ANSWER_BYTES       MIB(1) /* begun with; one more record may go beyond it */

/* A place in the log that a thread reads from. */
struct view {
    struct storage *storage;
    struct changes changes;
    bool open;
    bool caught_up; /* the publisher's: what comes now is new, whatever the clock says */
};

static struct {
    const char *data;
    const char *archive; /* NULL: none */
    struct stream *stream;
    pthread_t threads[2];
    unsigned thread_count;
    atomic_bool stop;
} serving;

static bool stopping(void)
{
    /* acquire: pairs with the release in serve_stream_stop. */
    return atomic_load_explicit(&serving.stop, memory_order_acquire);
}

static void wait_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
}

/* ---- Views ---- */

static void close_view(struct view *view)
{
    if (view->open) {
        changes_close(&view->changes);
    }
    view->open = false;
    view->caught_up = false;
    if (view->storage) {
        storage_destroy(view->storage);
        view->storage = NULL;
    }
}

/* NOT_FOUND: there is no log yet. EXPIRED: with view->changes.oldest_lsn. */
static enum hf_status open_view(struct view *view, uint64_t lsn)
{
    close_view(view);
    enum hf_status status = overlay_try(&view->storage, serving.data, serving.archive);
    if (status == HF_OK) {
        status = changes_open(&view->changes, view->storage, lsn);
    }
    view->open = status == HF_OK;
    return status;
}

/* ---- The publisher ---- */

/* The first item that a record names, as SKU@POOL; "": none. */
static void subject_of(const struct item_names *names, const struct event *event, char *text,
                       size_t bytes)
{
    uint32_t item = 0;
    if (event->type == EVENT_ORDER_HELD) {
        item = event->grants ? event->grants[0].item : event->lines[0].item;
    } else if (event->type == EVENT_ITEM_DEFINED) {
        item = event->item->item;
    } else if (event->type == EVENT_STOCK_ADJUSTED) {
        item = event->adjust->item;
    } else if (event->type == EVENT_STOCK_MOVED) {
        item = event->move->from;
    }
    text[0] = '\0';
    if (event->type == EVENT_SKU_DEFINED) {
        snprintf(text, bytes, "%.*s", (int)event->sku->sku.len, (const char *)event->sku->sku.data);
    } else if (item != 0) {
        snprintf(text, bytes, "%s@%s", item_sku(names, item), item_pool(names, item));
    }
}

static void publish(const struct item_names *names, const struct event *event, uint64_t wall_ms)
{
    char subject[2 * CODE_BYTES_MAX + 2];
    json_t *object = event_object(names, event, wall_ms);
    char *json = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    subject_of(names, event, subject, sizeof subject);
    size_t room = json ? strlen(json) + sizeof subject + 64 : 0;
    char *message = json ? malloc(room) : NULL;
    if (message) {
        int len =
            snprintf(message, room, "%s\n%s\n%s", record_type_name(event->type), subject, json);
        stream_publish(serving.stream, message, (size_t)len);
    }
    free(message);
    free(json);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Reads all there is, and tells what was written since since_ms; once it has come to the end, all
 * of it. NOT_FOUND: to the present end; else why the view is of no use any more. */
static enum hf_status read_on(struct view *view, uint64_t since_ms)
{
    struct event event;
    uint64_t wall_ms;
    enum hf_status status = HF_NOT_FOUND;
    while (!stopping() && (status = changes_next(&view->changes, &event, &wall_ms)) == HF_OK) {
        if (view->caught_up || wall_ms >= since_ms) {
            publish(&view->changes.names, &event, wall_ms);
        }
    }
    view->caught_up = view->caught_up || status == HF_NOT_FOUND;
    return status;
}

static void *publisher_main(void *argument)
{
    static struct view view;
    uint64_t since_ms = now_ms();
    (void)argument;
    while (!stopping()) {
        enum hf_status status =
            view.open ? read_on(&view, since_ms) : open_view(&view, CHANGES_NEWEST);
        if (status == HF_NOT_FOUND) {
            wait_a_little();
        } else if (status != HF_OK) {
            log_warn("the change stream can't be read (%s): it goes on with what comes now",
                     hf_status_text(status));
            close_view(&view);
            since_ms = now_ms();
            nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        }
    }
    close_view(&view);
    return NULL;
}

/* ---- The responder ---- */

struct answer {
    char *text;
    size_t len;
    size_t room;
};

static bool add_line(struct answer *answer, json_t *object)
{
    char *line = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
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
    }
    free(line);
    return fits;
}

/* The records behind `lsn`, a line each; then a line that tells how it ended. */
static void fill_answer(struct view *view, uint64_t lsn, struct answer *answer)
{
    enum hf_status status = HF_OK;
    unsigned count = 0;
    char text[CHANGES_TEXT_BYTES];
    if (!view->open || view->changes.lsn != lsn) {
        status = open_view(view, lsn);
    }
    uint64_t next = lsn;
    while (status == HF_OK && count < ANSWER_RECORDS_MAX && answer->len < ANSWER_BYTES &&
           !stopping()) {
        struct event event;
        uint64_t wall_ms;
        status = changes_next(&view->changes, &event, &wall_ms);
        if (status == HF_OK &&
            !add_line(answer, event_object(&view->changes.names, &event, wall_ms))) {
            status = HF_NO_MEMORY;
        }
        if (status == HF_OK) {
            next = event.lsn;
            count++;
        }
    }
    bool end = status == HF_NOT_FOUND;
    if (end && view->open && count == 0 && changes_end_before(&view->changes, lsn, text)) {
        add_line(answer,
                 json_pack("{s:s, s:s}", "status", hf_status_name(HF_INVALID), "message", text));
        return;
    }
    status = end ? HF_OK : status;
    uint64_t oldest = view->changes.oldest_lsn;
    if (status != HF_OK) {
        close_view(view);
    }
    add_line(answer, json_pack("{s:s, s:I, s:I, s:b}", "status", hf_status_name(status), "next",
                               (json_int_t)next, "oldest", (json_int_t)oldest, "end", end));
}

static void *responder_main(void *argument)
{
    static struct view view;
    struct answer answer = {0};
    char request[STREAM_REQUEST_BYTES];
    char reason[REASON_BYTES];
    uint64_t lsn;
    (void)argument;
    while (!stopping()) {
        if (stream_receive(serving.stream, request) != HF_OK) {
            continue;
        }
        answer.len = 0;
        if (parse_unsigned(request, 0, INT64_MAX, &lsn, reason)) {
            fill_answer(&view, lsn, &answer);
        } else {
            add_line(&answer, json_pack("{s:s, s:s}", "status", hf_status_name(HF_INVALID),
                                        "message", "a request is an LSN in decimal digits"));
        }
        stream_reply(serving.stream, answer.text, answer.len);
    }
    close_view(&view);
    free(answer.text);
    return NULL;
}

/* ---- Start and stop ---- */

static bool start_thread(void *(*run)(void *))
{
    /* The engine's main thread takes the signals. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&serving.threads[serving.thread_count], NULL, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    serving.thread_count += started;
    return started;
}

bool serve_stream_start(const char *data, const char *archive, const char *publish_url,
                        const char *fetch_url)
{
    char error[STREAM_ERROR_BYTES];
    bool publishes = publish_url[0] != '\0';
    bool answers = fetch_url[0] != '\0';
    if (!publishes && !answers) {
        return true;
    }
    serving.data = data;
    serving.archive = archive[0] != '\0' ? archive : NULL;
    if (stream_open(&serving.stream, publishes ? publish_url : NULL, answers ? fetch_url : NULL,
                    error) != HF_OK) {
        log_error("stream: %s", error);
        return false;
    }
    if (publishes) {
        printf("stream listening on %s\n", publish_url);
    }
    if (answers) {
        printf("stream-fetch listening on %s\n", fetch_url);
    }
    fflush(stdout);
    if ((publishes && !start_thread(publisher_main)) ||
        (answers && !start_thread(responder_main))) {
        log_error("stream: a thread can't be started");
        serve_stream_stop();
        return false;
    }
    return true;
}

void serve_stream_stop(void)
{
    /* release: pairs with the acquire in stopping(). */
    atomic_store_explicit(&serving.stop, true, memory_order_release);
    while (serving.thread_count > 0) {
        pthread_join(serving.threads[--serving.thread_count], NULL);
    }
    stream_close(serving.stream);
    serving.stream = NULL;
}
