/* refuse_nobody.h - for a server in a test that lets its clients have as much in hand as they like.
 */
#ifndef TESTS_LIB_REFUSE_NOBODY_H
#define TESTS_LIB_REFUSE_NOBODY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpc/transport.h"

static inline size_t refuse_nobody(void *context, enum transport_refusal why, uint32_t retry_ms,
                                   uint8_t reply[TRANSPORT_REFUSAL_BYTES_MAX])
{
    (void)context;
    (void)why;
    (void)retry_ms;
    (void)reply;
    fail_msg("a connection is refused that has fewer in hand than it may");
    return 0;
}

#endif
