// Several trainings of one program on one device, batched through the same launches: each has its own memory
// and lists; a launch of all of them is one launch over all their functors. Small networks leave a device
// nearly idle; this fills it. Members run in threads of their own and meet at every list they run.
#pragma once

#include "tether/device/backend.hpp"

#include <memory>
#include <vector>

namespace tether::device {

class ReplicaGroup {
public:
    // `real` must outlive the members.
    explicit ReplicaGroup(Backend& real);
    ~ReplicaGroup();
    ReplicaGroup(const ReplicaGroup&) = delete;
    ReplicaGroup& operator=(const ReplicaGroup&) = delete;

    // The backend of one more replica. All are to be made before any of them runs a list. A run waits until
    // all members still there run theirs; a member leaves when it is destroyed. Recordings of the same
    // program run together, others one after the other.
    [[nodiscard]] std::unique_ptr<Backend> member();

private:
    class Member;
    struct Meeting;
    Backend& real_;
    std::unique_ptr<Meeting> meeting_;
};

} // namespace tether::device
