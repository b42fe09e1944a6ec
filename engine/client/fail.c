/* fail.c - each thread's last message: why its last call failed. */
#include "client/fail.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "client/client_internal.h"
#include "rpc/transport.h"

static _Thread_local char last_message[HF_MESSAGE_BYTES];

enum hf_status client_fail(enum hf_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_message, sizeof last_message, format, arguments);
    va_end(arguments);
    return status;
}

enum hf_status client_fail_as(enum hf_status status, const struct response *response)
{
    if (response && response->message.len > 0) {
        int len = response->message.len < HF_MESSAGE_BYTES ? (int)response->message.len
                                                           : HF_MESSAGE_BYTES - 1;
        return client_fail(status, "%.*s", len, (const char *)response->message.data);
    }
    return client_fail(status, "%s", hf_status_text(status));
}

void client_note(const struct response *response)
{
    last_message[0] = '\0';
    if (response->message.len > 0) {
        client_fail_as(HF_OK, response);
    }
}

const char *hf_last_message(void)
{
    return last_message;
}
enum hf_status client_fail_transport(struct hf_client *client, enum hf_status status)
{
    CHECK(status != HF_OK);
    if (status == HF_UNREACHABLE) {
        char reason[TRANSPORT_REASON_BYTES];
        transport_client_reason(client->transport, reason);
        return client_fail(status, "%s", reason);
    }
    return client_fail(status, "%s", hf_status_text(status));
}

enum hf_status client_fail_late(struct hf_client *client)
{
    bool connected = transport_client_connected(client->transport);
    return client_fail_transport(client, connected ? HF_TIMED_OUT : HF_UNREACHABLE);
}
