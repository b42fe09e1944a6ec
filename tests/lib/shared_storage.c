/* shared_storage.c - see shared_storage.h. Every operation holds the mutex; pauses come before it
 * is taken. */
#include "lib/shared_storage.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "lib/rng.h"
#include "lib/sim_storage.h"

#define PAUSE_NS_MAX 150000u /* some disks' time for a small write */

struct shared_storage {
    struct storage base;
    struct storage *under;
    pthread_mutex_t mutex;
    struct rng rng; /* of the thread that submits and reaps */
};

static struct shared_storage *shared_of(const struct storage *storage)
{
    return (struct shared_storage *)storage;
}

static struct storage *enter(struct storage *storage)
{
    struct shared_storage *shared = shared_of(storage);
    CHECK(pthread_mutex_lock(&shared->mutex) == 0);
    return shared->under;
}

static void leave(struct storage *storage)
{
    CHECK(pthread_mutex_unlock(&shared_of(storage)->mutex) == 0);
}

/* The disk takes its time: mostly none, so that many rounds fit into a second. */
static void pause_a_while(struct storage *storage)
{
    struct rng *rng = &shared_of(storage)->rng;
    if (rng_chance(rng, 8)) {
        nanosleep(&(struct timespec){.tv_nsec = (long)rng_below(rng, PAUSE_NS_MAX)}, NULL);
    } else if (rng_chance(rng, 2)) {
        sched_yield();
    }
}

static const char *shared_name(const struct storage *storage)
{
    struct storage *under = shared_of(storage)->under;
    return under->ops->name(under);
}

static enum hf_status shared_list(struct storage *storage,
                                  bool (*visit)(void *context, const char *name), void *context)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->list(under, visit, context);
    leave(storage);
    return status;
}

static enum hf_status shared_open(struct storage *storage, const char *name, bool writable,
                                  storage_file *file, uint64_t *size)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->open(under, name, writable, file, size);
    leave(storage);
    return status;
}

static enum hf_status shared_create_zeroed(struct storage *storage, const char *name, uint64_t size)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->create_zeroed(under, name, size);
    leave(storage);
    return status;
}

static enum hf_status shared_create(struct storage *storage, const char *name, storage_file *file)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->create(under, name, file);
    leave(storage);
    return status;
}

static enum hf_status shared_write(struct storage *storage, storage_file file, const void *buffer,
                                   size_t len, uint64_t offset)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->write(under, file, buffer, len, offset);
    leave(storage);
    return status;
}

static enum hf_status shared_truncate(struct storage *storage, storage_file file, uint64_t size)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->truncate(under, file, size);
    leave(storage);
    return status;
}

static void shared_close(struct storage *storage, storage_file file)
{
    struct storage *under = enter(storage);
    under->ops->close(under, file);
    leave(storage);
}

static void shared_read_direct(struct storage *storage, storage_file file)
{
    struct storage *under = enter(storage);
    under->ops->read_direct(under, file);
    leave(storage);
}

static enum hf_status shared_read(struct storage *storage, storage_file file, void *buffer,
                                  size_t len, uint64_t offset, size_t *got)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->read(under, file, buffer, len, offset, got);
    leave(storage);
    return status;
}

static enum hf_status shared_write_sync(struct storage *storage, storage_file file,
                                        const void *buffer, size_t len, uint64_t offset)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->write_sync(under, file, buffer, len, offset);
    leave(storage);
    return status;
}

static enum hf_status shared_sync(struct storage *storage, storage_file file)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->sync(under, file);
    leave(storage);
    return status;
}

static enum hf_status shared_rename(struct storage *storage, const char *from, const char *to)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->rename(under, from, to);
    leave(storage);
    return status;
}

static enum hf_status shared_unlink(struct storage *storage, const char *name)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->unlink(under, name);
    leave(storage);
    return status;
}

static void shared_register_buffers(struct storage *storage, void *const *buffers,
                                    size_t bytes_each, unsigned count)
{
    struct storage *under = enter(storage);
    under->ops->register_buffers(under, buffers, bytes_each, count);
    leave(storage);
}

static enum hf_status shared_submit_write(struct storage *storage, storage_file file,
                                          const void *buffer, size_t len, uint64_t offset,
                                          uint64_t token)
{
    pause_a_while(storage);
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->submit_write(under, file, buffer, len, offset, token);
    leave(storage);
    return status;
}

static unsigned shared_reap(struct storage *storage, bool wait,
                            struct storage_completion *completions, unsigned max)
{
    pause_a_while(storage);
    struct storage *under = enter(storage);
    unsigned count = under->ops->reap(under, wait, completions, max);
    leave(storage);
    return count;
}

static enum hf_status shared_settle(struct storage *storage)
{
    struct storage *under = enter(storage);
    enum hf_status status = under->ops->settle ? under->ops->settle(under) : HF_OK;
    leave(storage);
    return status;
}

static void shared_destroy(struct storage *storage)
{
    struct shared_storage *shared = shared_of(storage);
    storage_destroy(shared->under);
    CHECK(pthread_mutex_destroy(&shared->mutex) == 0);
    free(shared);
}

static const struct storage_ops shared_ops = {
    .name = shared_name,
    .list = shared_list,
    .open = shared_open,
    .create_zeroed = shared_create_zeroed,
    .create = shared_create,
    .write = shared_write,
    .truncate = shared_truncate,
    .close = shared_close,
    .read_direct = shared_read_direct,
    .read = shared_read,
    .write_sync = shared_write_sync,
    .sync = shared_sync,
    .rename = shared_rename,
    .unlink = shared_unlink,
    .register_buffers = shared_register_buffers,
    .submit_write = shared_submit_write,
    .reap = shared_reap,
    .settle = shared_settle,
    .destroy = shared_destroy,
};

struct storage *shared_storage_make(struct storage *under, uint64_t seed)
{
    struct shared_storage *shared = calloc(1, sizeof *shared);
    CHECK(shared != NULL);
    shared->base.ops = &shared_ops;
    shared->under = under;
    CHECK(pthread_mutex_init(&shared->mutex, NULL) == 0);
    rng_init(&shared->rng, seed);
    return &shared->base;
}

void shared_storage_stop(struct storage *storage)
{
    sim_storage_stop(enter(storage));
    leave(storage);
}

struct storage *shared_storage_under(const struct storage *storage)
{
    return shared_of(storage)->under;
}
