#include "dataplane/core/worker.h"

#include "dataplane/core/worker_errand.h"
#include "dataplane/core/worker_mixed.h"
#include "dataplane/core/worker_reply.h"
#include "dataplane/core/worker_stage.h"
#include "dataplane/core/worker_stream.h"
#include "dataplane/core/worker_turn.h"
#include "storage/shard.h"

namespace gannet::dataplane {

template class BasicWorker<storage::Shard>;

}  // namespace gannet::dataplane
