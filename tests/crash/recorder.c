/* recorder.c - preloaded into an engine: writes down what it asks of the kernel (trace.h), and
 * makes trouble where it is told to.
 *
 * Trouble, from CRASH_SEED: some writes to segments are cut short at a page, as a kernel may; some
 * looks for completions come late, so that an answer that does not wait for its write is seen to
 * leave before it. The engine must not mind.
 *
 * Threads: hooks are called one at a time (lib/kernel.h). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "crash/trace.h"
#include "lib/kernel.h"

#define PAGE_BYTES 4096u
#define LATE_NS    3000000L

static struct {
    struct trace_head *head;
    uint64_t seed;
    bool troubled;
    char kill_op[32];
    uint64_t kill_at;
    bool kill_early;
    uint64_t kill_seen;
    uint64_t fail_at;
    uint64_t segment_writes;
    uint64_t in_flight; /* through the ring */
    bool late_next;
} recorder;

static uint64_t draw(uint64_t below)
{
    recorder.seed = recorder.seed * 6364136223846793005ull + 1442695040888963407ull;
    return (recorder.seed >> 33) % below;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Bytes of data without the zeros at the end. */
static size_t without_zeros(const uint8_t *data, size_t len)
{
    while (len >= 64) {
        uint64_t any = 0;
        for (size_t i = 0; i < 64; i += 8) {
            uint64_t word;
            memcpy(&word, data + len - 64 + i, sizeof word);
            any |= word;
        }
        if (any) {
            break;
        }
        len -= 64;
    }
    while (len > 0 && data[len - 1] == 0) {
        len--;
    }
    return len;
}

static void record(enum trace_kind kind, const struct kernel_call *call)
{
    struct trace_head *head = recorder.head;
    const char *name = call && call->name ? call->name : "";
    const char *to = call ? call->to : NULL;
    size_t name_bytes = strlen(name) + 1;
    size_t to_bytes = to ? strlen(to) + 1 : 0;
    size_t data_bytes = kind == TRACE_BEFORE && call->op == KERNEL_WRITE && call->data
                            ? without_zeros(call->data, call->len)
                            : 0;
    uint32_t bytes = trace_bytes(name_bytes + to_bytes, data_bytes);
    uint64_t at = atomic_load_explicit(&head->bytes, memory_order_relaxed);
    if (TRACE_HEAD_BYTES + at + bytes > TRACE_BYTES_MAX) {
        atomic_store_explicit(&head->full, 1, memory_order_relaxed);
        return;
    }
    struct trace_record *entry = (struct trace_record *)((char *)head + TRACE_HEAD_BYTES + at);
    *entry = (struct trace_record){.bytes = bytes,
                                   .kind = (uint8_t)kind,
                                   .thread = (int32_t)gettid(),
                                   .data_bytes = (uint32_t)data_bytes,
                                   .time_ns = now_ns(),
                                   .name_bytes = (uint16_t)name_bytes,
                                   .to_bytes = (uint16_t)to_bytes};
    if (call) {
        entry->op = (uint8_t)call->op;
        entry->is_directory = call->is_directory;
        entry->created = call->created;
        entry->flags = call->flags;
        entry->open_flags = call->open_flags;
        entry->number = call->number;
        entry->file = call->file;
        entry->offset = call->offset;
        entry->len = call->len;
        entry->result = kind == TRACE_AFTER ? call->result : 0;
        entry->ring = call->ring;
    }
    char *rest = (char *)(entry + 1);
    memcpy(rest, name, name_bytes);
    if (to) {
        memcpy(rest + name_bytes, to, to_bytes);
    }
    if (data_bytes > 0) {
        memcpy(rest + name_bytes + to_bytes, call->data, data_bytes);
    }
    atomic_store_explicit(&head->bytes, at + bytes, memory_order_release);
    atomic_fetch_add_explicit(&head->count, 1, memory_order_release);
}

static bool is_told(const struct kernel_call *call)
{
    return call->op != KERNEL_CLOSE && call->op != KERNEL_READ && call->op != KERNEL_RING_SUBMIT &&
           call->op != KERNEL_RING_WAIT;
}

static bool is_segment(const struct kernel_call *call)
{
    const char *base = call->name ? strrchr(call->name, '/') : NULL;
    size_t len = base ? strlen(base) : 0;
    return base && strncmp(base, "/wal-", 5) == 0 && strcmp(base + len - 4, ".seg") == 0;
}

/* A write to a segment: cut short, or failed. */
static void trouble_write(struct kernel_call *call)
{
    if (!is_segment(call)) {
        return;
    }
    recorder.segment_writes++;
    size_t pages = call->len / PAGE_BYTES;
    if (recorder.fail_at != 0 && recorder.segment_writes >= recorder.fail_at) {
        kernel_fail(call, EIO);
        call->take = draw(pages + 1) * PAGE_BYTES;
    } else if (recorder.troubled && pages > 1 && draw(4) == 0) {
        kernel_shorten(call, (1 + draw(pages - 1)) * PAGE_BYTES);
    }
}

static void die_here(const struct kernel_call *call, bool early)
{
    if (recorder.kill_at != 0 && recorder.kill_early == early &&
        strcmp(kernel_op_name(call->op), recorder.kill_op) == 0 &&
        ++recorder.kill_seen == recorder.kill_at) {
        kill(getpid(), SIGKILL);
        for (;;) {
            pause();
        }
    }
}

static void before(void *context, struct kernel_call *call)
{
    (void)context;
    if (recorder.troubled && recorder.late_next && call->op == KERNEL_RING_WAIT &&
        recorder.in_flight > 0) {
        recorder.late_next = false;
        nanosleep(&(struct timespec){.tv_nsec = LATE_NS}, NULL);
    }
    if (!is_told(call)) {
        return;
    }
    if (call->op == KERNEL_WRITE) {
        trouble_write(call);
        recorder.in_flight += call->ring;
        recorder.late_next = draw(12) == 0;
    }
    record(TRACE_BEFORE, call);
    die_here(call, true);
    if (recorder.troubled && call->op == KERNEL_WRITE && !call->ring && recorder.late_next) {
        recorder.late_next = false;
        nanosleep(&(struct timespec){.tv_nsec = LATE_NS}, NULL);
    }
}

static void after(void *context, const struct kernel_call *call)
{
    (void)context;
    if (!is_told(call)) {
        return;
    }
    if (call->op == KERNEL_WRITE) {
        recorder.in_flight -= call->ring;
    }
    record(TRACE_AFTER, call);
    die_here(call, false);
}

static void read_kill(const char *text, bool early)
{
    if (text && sscanf(text, "%31s %lu", recorder.kill_op, &recorder.kill_at) == 2) {
        recorder.kill_early = early;
    }
}

__attribute__((constructor(200))) static void begin(void)
{
    const char *path = getenv(TRACE_FILE);
    const char *root = getenv(TRACE_ROOT);
    if (!path || !root) {
        return;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *memory = fd < 0 ? MAP_FAILED
                          : mmap(NULL, TRACE_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        perror(path);
        abort();
    }
    close(fd);
    recorder.head = memory;
    const char *seed = getenv(TRACE_SEED);
    const char *fail = getenv(TRACE_FAIL);
    recorder.troubled = seed != NULL;
    recorder.seed = seed ? strtoull(seed, NULL, 10) : 0;
    recorder.fail_at = fail ? strtoull(fail, NULL, 10) : 0;
    read_kill(getenv(TRACE_KILL), false);
    read_kill(getenv(TRACE_EARLY), true);
    record(TRACE_START, NULL);
    if (!kernel_watch(root, &(struct kernel_hooks){before, after, NULL})) {
        perror(root);
        abort();
    }
}
