/* fail.h - each thread's last message: why its last call failed (hf_last_message()).
 *
 * Threads: any; each has its own message. */
#ifndef CLIENT_FAIL_H
#define CLIENT_FAIL_H

#include <holdfast/status.h>

#include "wire/message.h"

struct hf_client;

/* Sets this thread's last message, printf-like, at most HF_MESSAGE_BYTES; returns `status`. */
enum hf_status client_fail(enum hf_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* As client_fail, with the response's own message, or with the status's text when the response has
 * no message or is NULL. */
enum hf_status client_fail_as(enum hf_status status, const struct response *response);

/* Sets the thread's message to what an answer that is HF_OK as a whole says about the first of its
 * parts that was refused: empty when it says nothing. */
void client_note(const struct response *response);

/* As client_fail, for a status that the transport reported. UNREACHABLE: the message is the
 * transport's reason. */
enum hf_status client_fail_transport(struct hf_client *client, enum hf_status status);

/* For a call that can't wait any longer and sent nothing: TIMED_OUT, or UNREACHABLE when there is
 * no connection. Sets the message, too. */
enum hf_status client_fail_late(struct hf_client *client);

#endif
