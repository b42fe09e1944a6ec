/* call.c - a request that has a message of its own, run to its answer. */
#include "client/call.h"

#include "base/check.h"
#include "client/fail.h"

enum hf_status call_run(struct hf_client *client, struct request *request, enum response_type type,
                        struct flight **flight)
{
    enum hf_status status = flight_exchange(client, request, flight);
    if (status != HF_OK) {
        return status;
    }
    CHECK((*flight)->state == FLIGHT_DONE);
    const struct response *response = &(*flight)->response;
    if (response->type == type) {
        return HF_OK;
    }
    status = response->status != HF_OK ? response->status : HF_INTERNAL;
    client_fail_as(status, response);
    flight_release(*flight);
    return status;
}
