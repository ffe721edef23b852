// Functors of operations on graphs: gathering, segments, attention, gates, several times.
#pragma once

#include "functors.hpp"

#include "tether/kernels/attention.hpp"
#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/gate.hpp"
#include "tether/kernels/graph.hpp"
#include "tether/kernels/times.hpp"

namespace tether::kernels {

template <class T>
using GraphFunctors =
    Functors<PerNumber<GatherNumbers<T>>, PerNumber<SegmentSumNumbers<T>>, PerNumber<SpreadNumbers<T>>,
             PerNumber<SideBySideNumbers<T>>, PerNumber<SplitToNodesNumbers<T>>, PerNumber<AttendHead<T>>,
             PerNumber<AttendBackwardHead<T>>, PerNumber<GateNumbers<T>>, PerNumber<GateBackwardNumbers<T>>,
             PerNumber<MixTimesNumbers<T>>, PerNumber<TimeColumnsNumbers<T>>>;

} // namespace tether::kernels
