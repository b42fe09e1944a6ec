/* disk_faults.c - a library to preload into an engine: chosen system calls on its files fail, are
 * interrupted, do less or take long, as a file says.
 *
 * DISK_FAULTS names a file of `struct control`, which is mapped: whoever writes to it changes what
 * a running engine meets, and can read what it has met. DISK_FAULTS_BELOW names the directory whose
 * files are meant. disk_faults_test.py has the same layout.
 *
 * Threads: any; kernel.h serializes the hooks. A rule is read anew at each call; a writer sets
 * `times` last. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "lib/kernel.h"

#define RULES 4

/* The calls of a kind on files whose names end so: the first `skip` are let pass, then so many are
 * met. */
struct rule {
    uint32_t op; /* enum kernel_op */
    uint32_t skip;
    uint32_t times;
    int32_t error; /* 0: a short count */
    uint64_t take; /* bytes that are done of a read or write */
    char ending[64];
    uint32_t met;      /* written here */
    uint32_t delay_ms; /* the call takes so much longer, and so do others that come meanwhile */
};

struct control {
    struct rule rules[RULES];
    uint64_t seed;          /* of the harmless faults: short counts and interruptions */
    uint32_t one_in;        /* one call in so many; 0: none */
    uint32_t met;           /* harmless faults so far; written here, as the following */
    uint32_t ring_writes;   /* of all files */
    uint32_t called_writes; /* pwritev2 with RWF_DSYNC */
};

static volatile struct control *control;
static uint64_t random_state;

static uint64_t next_random(void)
{
    /* splitmix64 */
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool ends_so(const char *name, const char *ending)
{
    size_t name_len = strlen(name);
    size_t ending_len = strlen(ending);
    return name_len >= ending_len && strcmp(name + name_len - ending_len, ending) == 0;
}

static bool is_meant(const struct kernel_call *call, const volatile struct rule *rule)
{
    char ending[sizeof rule->ending];
    memcpy(ending, (const char *)rule->ending, sizeof ending);
    ending[sizeof ending - 1] = '\0';
    return ends_so(call->name, ending);
}

static bool apply_rules(struct kernel_call *call)
{
    for (int i = 0; i < RULES; i++) {
        volatile struct rule *rule = &control->rules[i];
        if (rule->times == 0 || rule->op != call->op || !is_meant(call, rule)) {
            continue;
        }
        if (rule->skip > 0) {
            rule->skip--;
            continue;
        }
        if (rule->delay_ms > 0) {
            usleep(rule->delay_ms * 1000);
        }
        call->error = rule->error;
        call->take = rule->take;
        rule->met++;
        if (rule->times != UINT32_MAX) {
            rule->times--;
        }
        return true;
    }
    return false;
}

/* What an engine must not even notice. */
static void disturb(struct kernel_call *call)
{
    if (control->one_in == 0 || next_random() % control->one_in != 0) {
        return;
    }
    bool is_transfer = call->op == KERNEL_READ || call->op == KERNEL_WRITE;
    if (is_transfer && call->len > WAL_PAGE_BYTES && next_random() % 2 == 0) {
        size_t pages = (call->len - 1) / WAL_PAGE_BYTES;
        kernel_shorten(call, (1 + next_random() % pages) * WAL_PAGE_BYTES);
    } else if (is_transfer || call->op == KERNEL_RING_SUBMIT || call->op == KERNEL_RING_WAIT) {
        bool may_be_put_off = call->op == KERNEL_WRITE || call->op == KERNEL_RING_SUBMIT;
        kernel_fail(call, may_be_put_off && next_random() % 2 == 0 ? EAGAIN : EINTR);
    } else {
        return;
    }
    control->met++;
}

static void on_before(void *context, struct kernel_call *call)
{
    (void)context;
    if (call->op == KERNEL_WRITE && call->ring) {
        control->ring_writes++;
    } else if (call->op == KERNEL_WRITE && call->flags != 0) {
        control->called_writes++;
    }
    if (!apply_rules(call)) {
        disturb(call);
    }
}

__attribute__((constructor)) static void disk_faults_init(void)
{
    const char *path = getenv("DISK_FAULTS");
    const char *below = getenv("DISK_FAULTS_BELOW");
    int fd = path && below ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *memory = fd < 0 ? MAP_FAILED
                          : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const struct kernel_hooks hooks = {on_before, NULL, NULL};
    if (memory == MAP_FAILED) {
        fprintf(stderr, "disk_faults: DISK_FAULTS does not name a file that can be mapped\n");
        abort();
    }
    close(fd);
    control = memory;
    random_state = control->seed;
    if (!kernel_watch(below, &hooks)) {
        fprintf(stderr, "disk_faults: DISK_FAULTS_BELOW is no directory\n");
        abort();
    }
}
