internal import LinuxPrimitives

/// Eventfds of consecutive vectors for one message: all present or all absent.
struct EventBatch: Sendable {
  let action: SetInterrupts.Action
  let index: InterruptIndex
  let start: UInt32
  let counters: [EventFD?]

  /// Splits eventfds into messages with at most `most` descriptors; the range was checked.
  static func split(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, _ start: UInt32,
    _ counters: [EventFD?], most: Int
  ) -> [EventBatch] {
    let most = max(1, min(most, Limits.kernelMessageDescriptors))
    var batches: [EventBatch] = []
    var done = 0
    while done < counters.count {
      let isPresent = counters[done] != nil
      let alike = counters[done...].prefix { ($0 != nil) == isPresent }.prefix(most)
      batches.append(
        EventBatch(
          action: action, index: index, start: start + UInt32(done), counters: Array(alike)))
      done += alike.count
    }
    return batches
  }
}

extension Connection {
  /// The message for a batch, with a descriptor for each eventfd.
  func message(for batch: EventBatch) throws(ClientError) -> Exchange<Nothing> {
    let request = SetInterrupts(
      data: .eventDescriptors, action: batch.action, index: batch.index, start: batch.start,
      count: UInt32(batch.counters.count))
    trace.record(.interrupts(request))
    var descriptors = DescriptorList()
    do throws(SystemCallError) {
      for case let counter? in batch.counters {
        descriptors.append(try counter.descriptor.duplicate())
      }
    } catch {
      throw .system(error)
    }
    return Exchange(.deviceSetIRQs, request, descriptors: CarriedDescriptors(descriptors))
  }
}
