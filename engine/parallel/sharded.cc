#include "engine/parallel/sharded.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "common/base/check.h"

namespace seer::engine {
namespace {

constexpr int64_t kAlignment = 16;  // elements: each parameter starts a cache line

int64_t RoundedUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// FreeMemory's way back.
void Allocate(at::Tensor& flat) {
  c10::StorageImpl& storage = *flat.storage().unsafeGetStorageImpl();
  const size_t bytes = static_cast<size_t>(flat.numel()) * flat.element_size();
  storage.set_data_ptr_noswap(storage.allocator()->allocate(bytes));
  storage.set_nbytes(bytes);
}

at::Tensor ViewOf(const at::Tensor& flat, const at::Tensor& like, int64_t offset) {
  return flat.as_strided(like.sizes(), like.strides(), offset);
}

}  // namespace

ShardedParameters::ShardedParameters(const std::vector<std::vector<NamedTensor>>& units,
                                     const DeferredWeights& deferred, const ShardedOptions& options)
    : gathers_(*options.gathers),
      reductions_(*options.reductions),
      replicas_(*options.replicas),
      device_(options.device),
      offload_(options.offload) {
  const at::NoGradGuard no_grad;
  for (const auto& parameters : units) AddUnit(parameters, deferred);
  own_ = pieces_;
  if (!offload_) return;
  for (NamedTensor& piece : own_) {
    piece.tensor = piece.tensor.detach().to(at::kCPU, piece.tensor.scalar_type(),
                                            /*non_blocking=*/false, /*copy=*/true);
    piece.tensor.mutable_grad() = at::zeros_like(piece.tensor);
  }
}

void ShardedParameters::AddUnit(const std::vector<NamedTensor>& parameters,
                                const DeferredWeights& deferred) {
  Unit unit;
  std::vector<int64_t> offsets;
  int64_t elements = 0;
  for (const NamedTensor& p : parameters) {
    SEER_CHECK(p.tensor.is_non_overlapping_and_dense()) << p.name << " has gaps in memory";
    offsets.push_back(elements);
    elements += RoundedUp(p.tensor.numel(), kAlignment);
  }
  const int group = gathers_.size();
  unit.padded = RoundedUp(elements, group * kAlignment);
  const auto options = parameters.empty()
                           ? at::TensorOptions(at::kFloat)
                           : parameters.front().tensor.options().requires_grad(false);
  unit.whole = at::zeros({unit.padded}, options.device(device_));
  for (size_t i = 0; i < parameters.size(); ++i) {
    at::Tensor tensor = parameters[i].tensor;
    at::Tensor view = ViewOf(unit.whole, tensor, offsets[i]);
    at::Tensor drawn = device_.is_cpu() ? view : at::empty_like(view, options);  // by the host
    if (!deferred.Fill(tensor, drawn)) drawn.copy_(tensor);
    if (!drawn.is_same(view)) view.copy_(drawn);
    tensor.set_data(view);
    unit.parameters.push_back(parameters_.size());
    parameters_.push_back({tensor, offsets[i], ShardSize(unit)});
  }
  unit.resident = group == 1;  // for good
  const int64_t first = gathers_.rank() * ShardSize(unit);
  unit.shard = unit.whole.narrow(0, first, ShardSize(unit));
  if (group > 1) {
    unit.shard = unit.shard.clone();
    FreeMemory(unit.whole);
  }
  unit.shard_gradient = at::zeros_like(unit.shard);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto [begin, count] = Range(parameters_[unit.parameters[i]], gathers_.rank());
    // Of an empty piece the place does not matter.
    const int64_t at = count == 0 ? 0 : begin - first;
    at::Tensor piece = unit.shard.narrow(0, at, count);
    piece.mutable_grad() = unit.shard_gradient.narrow(0, at, count);
    pieces_.push_back({parameters[i].name, std::move(piece)});
  }
  units_.push_back(std::move(unit));
}

std::pair<int64_t, int64_t> ShardedParameters::Range(const Parameter& parameter, int rank) const {
  const int64_t first = rank * parameter.shard_size;
  const int64_t begin = std::max(parameter.offset, first);
  const int64_t end =
      std::min(parameter.offset + parameter.tensor.numel(), first + parameter.shard_size);
  return {begin, std::max<int64_t>(0, end - begin)};
}

void ShardedParameters::Fetch(Unit& unit) {
  if (unit.resident || unit.fetching != nullptr || unit.padded == 0) return;
  Allocate(unit.whole);
  unit.fetching = gathers_.AllGatherAsync(unit.whole, unit.shard);
}

void ShardedParameters::Acquire(size_t unit, std::optional<size_t> next) {
  Unit& wanted = units_[unit];
  Fetch(wanted);
  if (next) Fetch(units_[*next]);
  if (wanted.fetching == nullptr) return;
  wanted.fetching->Wait();
  wanted.fetching = nullptr;
  wanted.resident = true;
}

void ShardedParameters::Release(size_t unit) {
  Unit& done = units_[unit];
  if (gathers_.size() == 1 || !done.resident) return;
  FreeMemory(done.whole);
  done.resident = false;
}

void ShardedParameters::Store(size_t unit) {
  const at::NoGradGuard no_grad;
  Unit& changed = units_[unit];
  if (gathers_.size() > 1) {
    changed.shard.copy_(
        changed.whole.narrow(0, gathers_.rank() * ShardSize(changed), ShardSize(changed)));
  }
  if (!offload_) return;
  for (const size_t i : changed.parameters) own_[i].tensor.copy_(pieces_[i].tensor);
}

void ShardedParameters::ZeroGradients() {
  for (Unit& unit : units_) unit.shard_gradient.zero_();
}

void ShardedParameters::BeginGradients(size_t unit) {
  Unit& begun = units_[unit];
  begun.gradient = at::zeros({begun.padded}, begun.shard.options());
  for (const size_t i : begun.parameters) {
    at::Tensor& tensor = parameters_[i].tensor;
    tensor.mutable_grad() = ViewOf(begun.gradient, tensor, parameters_[i].offset);
  }
}

void ShardedParameters::GradientsDone(size_t unit, bool last) {
  FinishReduction();
  Unit& done = units_[unit];
  for (const size_t i : done.parameters) parameters_[i].tensor.mutable_grad().reset();
  if (done.padded == 0) return;
  Reduction reduction{unit, last, at::empty_like(done.shard), nullptr};
  reduction.pending = reductions_.ReduceScatterAsync(reduction.into, done.gradient);
  reduction_ = std::move(reduction);
}

void ShardedParameters::FinishReduction() {
  if (!reduction_) return;
  reduction_->pending->Wait();
  Unit& unit = units_[reduction_->unit];
  unit.gradient.reset();
  unit.shard_gradient.add_(reduction_->into);
  if (reduction_->last && replicas_.size() > 1)
    over_replicas_.push_back(replicas_.AllReduceAsync(unit.shard_gradient));
  reduction_.reset();
}

void ShardedParameters::FinishGradients() {
  FinishReduction();
  for (const auto& pending : over_replicas_) pending->Wait();
  over_replicas_.clear();
  const int ranks = gathers_.size() * replicas_.size();
  for (Unit& unit : units_) {
    if (ranks > 1) unit.shard_gradient.div_(ranks);
  }
  if (!offload_) return;
  for (size_t i = 0; i < own_.size(); ++i)
    own_[i].tensor.mutable_grad().copy_(pieces_[i].tensor.grad());
}

void ShardedParameters::WeightsUpdated() {
  if (!offload_) return;
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < own_.size(); ++i) pieces_[i].tensor.copy_(own_[i].tensor);
}

void ShardedParameters::SumOverPieces(std::vector<double>& numbers) const {
  if (gathers_.size() == 1 || numbers.empty()) return;
  at::Tensor sums = at::tensor(numbers, at::kDouble).to(units_.front().shard.device());
  reductions_.AllReduce(sums);
  const at::Tensor host = sums.cpu();
  const auto* first = host.const_data_ptr<double>();
  numbers.assign(first, first + host.numel());
}

at::Tensor ShardedParameters::Whole(size_t parameter, const at::Tensor& piece) const {
  const at::NoGradGuard no_grad;
  const Parameter& p = parameters_[parameter];
  at::Tensor flat = at::empty({p.tensor.numel()}, piece.options().requires_grad(false));
  int64_t longest = 0;
  for (int r = 0; r < gathers_.size(); ++r) longest = std::max(longest, Range(p, r).second);
  // Collectives run on the device of the weights, wherever the piece is.
  at::Tensor own = at::zeros({longest}, flat.options().device(p.tensor.device()));
  own.narrow(0, 0, piece.numel()).copy_(piece);
  at::Tensor all = at::empty({longest * gathers_.size()}, own.options());
  gathers_.AllGatherAsync(all, own)->Wait();
  for (int r = 0; r < gathers_.size(); ++r) {
    const auto [begin, count] = Range(p, r);
    if (count > 0) flat.narrow(0, begin - p.offset, count).copy_(all.narrow(0, r * longest, count));
  }
  return ViewOf(flat, p.tensor, 0);
}

void ShardedParameters::CopyPiece(size_t parameter, const at::Tensor& whole,
                                  at::Tensor piece) const {
  const at::NoGradGuard no_grad;
  const Parameter& p = parameters_[parameter];
  const auto [begin, count] = Range(p, gathers_.rank());
  if (count == 0) return;
  at::Tensor flat = at::empty({p.tensor.numel()}, whole.options());
  ViewOf(flat, p.tensor, 0).copy_(whole);  // in the order of the weights in memory
  piece.copy_(flat.narrow(0, begin - p.offset, count));
}

}  // namespace seer::engine
