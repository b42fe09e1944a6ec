/* deadline.h - the clock of the client's deadlines: monotonic, in nanoseconds.
 *
 * Threads: any. */
#ifndef CLIENT_DEADLINE_H
#define CLIENT_DEADLINE_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_MS 1000000u

struct hf_client;

uint64_t client_now_ns(void);
struct timespec client_timespec(uint64_t ns);

/* When a call that begins now is to end: after the client's timeout, and no later than its total
 * timeout. */
uint64_t client_deadline_ns(const struct hf_client *client);

/* Makes a condition variable whose timed waits take times of this clock. */
void client_cond_init(pthread_cond_t *cond);

#endif
