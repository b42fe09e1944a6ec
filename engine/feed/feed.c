/* feed.c - the change stream of a running engine, for other services.
 *
 * The broadcaster passes over what was written before it began, and sends what came since. The
 * responder answers requests (fetch.c).
 *
 * Threads: the broadcaster and the responder; each has its own view of the log. */
#include "feed/feed.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/escape.h"
#include "base/limits.h"
#include "feed/changes.h"
#include "feed/event_json.h"
#include "feed/fetch.h"
#include "feed/json.h"
#include "history/overlay.h"
#include "wal/record.h"

#define POLL_NS      5000000L
#define FEED_THREADS 2u

/* The broadcaster's place in the log. */
struct view {
    struct storage *storage;
    struct changes changes;
    bool open;
    bool caught_up; /* what comes now is new, whatever the clock says */
};

struct feed {
    struct feed_options options;
    struct stream *stream;
    struct feed_fetch *fetch;
    struct view view; /* the broadcaster's */
    pthread_t threads[FEED_THREADS];
    unsigned thread_count;
    atomic_bool stop;
};

static bool stopping(const struct feed *feed)
{
    /* acquire: pairs with the release in feed_stop. */
    return atomic_load_explicit(&feed->stop, memory_order_acquire);
}

static void wait_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
}

/* NOT_FOUND: there is no log yet. */
static enum hf_status open_log(void *context, struct storage **out)
{
    const struct feed *feed = context;
    return overlay_try(out, feed->options.data, feed->options.archive);
}

/* ---- The broadcaster ---- */

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
static enum hf_status open_view(struct feed *feed)
{
    struct view *view = &feed->view;
    close_view(view);
    enum hf_status status = open_log(feed, &view->storage);
    if (status == HF_OK) {
        status = changes_open(&view->changes, view->storage, CHANGES_NEWEST);
        view->changes.stop = &feed->stop;
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

/* Sends a record to all subscribers. Without memory it is lost, as it is for a slow subscriber:
 * they see the gap by the LSNs. */
static void broadcast(struct feed *feed, const struct event *event, uint64_t wall_ms)
{
    const struct item_names *names = &feed->view.changes.names;
    char subject[2 * CODE_BYTES_MAX * ESCAPE_BYTES_MAX + 2];
    char *json = json_line(event_object(names, event, wall_ms));
    subject_of(names, event, subject, sizeof subject);
    size_t room = json ? strlen(json) + sizeof subject + 64 : 0;
    char *message = json ? malloc(room) : NULL;
    if (message) {
        int len =
            snprintf(message, room, "%s\n%s\n%s", record_type_name(event->type), subject, json);
        CHECK(len > 0);
        CHECK((size_t)len < room);
        stream_broadcast(feed->stream, (struct bytes){(const uint8_t *)message, (size_t)len});
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

/* Reads all there is, and sends what was written since since_ms; once it has reached the end, all
 * of it. NOT_FOUND: the present end is reached; else why the view is of no use any more. */
static enum hf_status read_on(struct feed *feed, uint64_t since_ms)
{
    struct view *view = &feed->view;
    struct event event;
    uint64_t wall_ms;
    enum hf_status status = HF_NOT_FOUND;
    while (!stopping(feed) && (status = changes_next(&view->changes, &event, &wall_ms)) == HF_OK) {
        if (view->caught_up || wall_ms >= since_ms) {
            broadcast(feed, &event, wall_ms);
        }
    }
    view->caught_up = view->caught_up || status == HF_NOT_FOUND;
    return status;
}

static void *broadcaster_main(void *argument)
{
    struct feed *feed = argument;
    uint64_t since_ms = now_ms();
    while (!stopping(feed)) {
        enum hf_status status = feed->view.open ? read_on(feed, since_ms) : open_view(feed);
        if (status == HF_NOT_FOUND) {
            wait_a_little();
        } else if (status != HF_OK && !stopping(feed)) {
            diag_warn("the change stream can't read the log (%s): subscribers miss some records; "
                      "it continues with those that come from now on",
                      hf_status_text(status));
            close_view(&feed->view);
            since_ms = now_ms();
            nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        }
    }
    close_view(&feed->view);
    return NULL;
}

/* ---- The responder ---- */

static void *responder_main(void *argument)
{
    struct feed *feed = argument;
    struct bytes request;
    while (!stopping(feed)) {
        if (stream_receive(feed->stream, &request) == HF_OK) {
            stream_reply(feed->stream, feed_fetch_answer(feed->fetch, request));
        }
    }
    return NULL;
}

/* ---- Start and stop ---- */

static bool start_thread(struct feed *feed, void *(*run)(void *))
{
    /* The engine's main thread takes the signals. */
    sigset_t all;
    sigset_t before;
    CHECK(feed->thread_count < FEED_THREADS);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&feed->threads[feed->thread_count], NULL, run, feed) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    feed->thread_count += started;
    return started;
}

/* OK; else why, with error. */
static enum hf_status start(struct feed *feed, char *error)
{
    const struct feed_options *options = &feed->options;
    enum hf_status status =
        stream_open(&feed->stream, options->stream_url, options->fetch_url, error);
    if (status != HF_OK) {
        return status;
    }
    feed->fetch = feed_fetch_make(&(struct feed_fetch_options){
        .token = options->token, .open = open_log, .context = feed, .stop = &feed->stop});
    if (!feed->fetch) {
        snprintf(error, STREAM_ERROR_BYTES, "out of memory");
        return HF_NO_MEMORY;
    }
    if ((options->stream_url && !start_thread(feed, broadcaster_main)) ||
        (options->fetch_url && !start_thread(feed, responder_main))) {
        snprintf(error, STREAM_ERROR_BYTES, "a thread can't be started");
        return HF_INTERNAL;
    }
    return HF_OK;
}

enum hf_status feed_start(struct feed **out, const struct feed_options *options, char *error)
{
    struct feed *feed = calloc(1, sizeof *feed);
    *out = NULL;
    if (!feed) {
        snprintf(error, STREAM_ERROR_BYTES, "out of memory");
        return HF_NO_MEMORY;
    }
    feed->options = *options;
    enum hf_status status = start(feed, error);
    if (status != HF_OK) {
        feed_stop(feed);
        return status;
    }
    *out = feed;
    return HF_OK;
}

const char *feed_stream_url(const struct feed *feed)
{
    return stream_broadcast_url(feed->stream);
}

const char *feed_fetch_url(const struct feed *feed)
{
    return stream_fetch_url(feed->stream);
}

void feed_stop(struct feed *feed)
{
    if (!feed) {
        return;
    }
    /* release: pairs with the acquire in stopping() and in changes.c. */
    atomic_store_explicit(&feed->stop, true, memory_order_release);
    while (feed->thread_count > 0) {
        pthread_join(feed->threads[--feed->thread_count], NULL);
    }
    stream_close(feed->stream);
    feed_fetch_free(feed->fetch);
    free(feed);
}
