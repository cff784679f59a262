public import VFIOUserProtocol
public import VFIOUserTransport

extension Client {
  /// Has an interrupt signalled through a counter, or through none any more.
  public func setTrigger(
    _ index: InterruptIndex, vector: UInt32 = 0, _ counter: EventCounter?
  ) throws(ClientError) {
    var descriptors = DescriptorList()
    if let counter {
      do {
        descriptors.append(try counter.descriptor.duplicate())
      } catch {
        throw .system(error)
      }
    }
    try call(
      .deviceSetIRQs,
      SetInterrupts(
        data: .eventDescriptors, action: .trigger, index: index, start: vector, count: 1),
      descriptors: descriptors)
  }

  /// Masks, unmasks or triggers a vector itself.
  public func act(
    _ action: SetInterrupts.Action, on index: InterruptIndex, vector: UInt32 = 0
  ) throws(ClientError) {
    try call(
      .deviceSetIRQs,
      SetInterrupts(data: .none, action: action, index: index, start: vector, count: 1))
  }

  /// Switches all vectors of an index off.
  public func disable(_ index: InterruptIndex) throws(ClientError) {
    try call(
      .deviceSetIRQs,
      SetInterrupts(data: .none, action: .trigger, index: index, start: 0, count: 0))
  }
}
