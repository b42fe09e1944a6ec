/* serve_stream.c - the change stream of a running engine, for other services.
 *
 * The publisher passes over what was written before it began, and tells what came since. The
 * responder answers who asks (stream_fetch.c).
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

#include "base/diag.h"
#include "base/escape.h"
#include "cli/changes.h"
#include "cli/print.h"
#include "cli/stream_fetch.h"
#include "cli/wal.h"
#include "history/overlay.h"
#include "rpc/stream.h"

#define POLL_NS 5000000L

/* The publisher's place in the log. */
struct view {
    struct storage *storage;
    struct changes changes;
    bool open;
    bool caught_up; /* what comes now is new, whatever the clock says */
};

static struct {
    const char *data;
    const char *archive; /* NULL: none */
    struct stream *stream;
    struct stream_fetch *fetch;
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

/* ---- The publisher ---- */

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

/* As late as all names are known. NOT_FOUND: there is no log yet. */
static enum hf_status open_view(struct view *view)
{
    close_view(view);
    enum hf_status status = overlay_try(&view->storage, serving.data, serving.archive);
    if (status == HF_OK) {
        status = changes_open(&view->changes, view->storage, CHANGES_NEWEST);
        view->changes.stop = &serving.stop;
    }
    view->open = status == HF_OK;
    return status;
}

/* The first item that a record names, as SKU@POOL, on one line; "": none. */
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
    char name[2 * CODE_BYTES_MAX + 2] = "";
    if (event->type == EVENT_SKU_DEFINED) {
        snprintf(name, sizeof name, "%.*s", (int)event->sku->sku.len,
                 (const char *)event->sku->sku.data);
    } else if (item != 0) {
        snprintf(name, sizeof name, "%s@%s", item_sku(names, item), item_pool(names, item));
    }
    escape_text(bytes_of(name), text, bytes);
}

static void publish(const struct item_names *names, const struct event *event, uint64_t wall_ms)
{
    char subject[2 * CODE_BYTES_MAX * ESCAPE_BYTES_MAX + 2];
    char *json = json_line(event_object(names, event, wall_ms));
    subject_of(names, event, subject, sizeof subject);
    size_t room = json ? strlen(json) + sizeof subject + 64 : 0;
    char *message = json ? malloc(room) : NULL;
    if (message) {
        int len =
            snprintf(message, room, "%s\n%s\n%s", record_type_name(event->type), subject, json);
        stream_broadcast(serving.stream, (struct bytes){(const uint8_t *)message, (size_t)len});
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
        enum hf_status status = view.open ? read_on(&view, since_ms) : open_view(&view);
        if (status == HF_NOT_FOUND) {
            wait_a_little();
        } else if (status != HF_OK && !stopping()) {
            diag_warn("the change stream can't be read (%s): it goes on with what comes now",
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

static enum hf_status open_log(void *context, struct storage **out)
{
    (void)context;
    return overlay_try(out, serving.data, serving.archive);
}

static void *responder_main(void *argument)
{
    struct bytes request;
    (void)argument;
    while (!stopping()) {
        if (stream_receive(serving.stream, &request) == HF_OK) {
            stream_reply(serving.stream, stream_fetch_answer(serving.fetch, request));
        }
    }
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

bool serve_stream_start(const struct config *config, server_announce announce)
{
    char error[STREAM_ERROR_BYTES];
    bool publishes = config->stream[0] != '\0';
    bool answers = config->stream_fetch[0] != '\0';
    if (!publishes && !answers) {
        return true;
    }
    serving.data = config->data;
    serving.archive = config->archive_dir[0] != '\0' ? config->archive_dir : NULL;
    if (stream_open(&serving.stream, publishes ? config->stream : NULL,
                    answers ? config->stream_fetch : NULL, error) != HF_OK) {
        diag_error("stream: %s", error);
        return false;
    }
    if (publishes) {
        announce("stream listening", stream_broadcast_url(serving.stream));
    }
    if (answers) {
        announce("stream-fetch listening", stream_fetch_url(serving.stream));
    }
    fflush(stdout);
    serving.fetch = stream_fetch_make(&(struct stream_fetch_options){
        .token = config->token, .open = open_log, .stop = &serving.stop});
    if (!serving.fetch || (publishes && !start_thread(publisher_main)) ||
        (answers && !start_thread(responder_main))) {
        diag_error("stream: no memory, or a thread can't be started");
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
    stream_fetch_free(serving.fetch);
    serving.fetch = NULL;
}
