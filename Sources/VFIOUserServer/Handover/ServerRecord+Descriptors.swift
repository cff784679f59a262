internal import VFIOUserTransport

extension ServerRecord {
  /// Calls `body` with each descriptor number, which it may change; in a fixed order.
  mutating func eachDescriptor(_ body: (inout Int32) -> Void) {
    body(&listener.number)
    for index in callers.indices { body(&callers[index]) }
    client?.eachDescriptor(body)
  }
}

extension ClientRecord {
  fileprivate mutating func eachDescriptor(_ body: (inout Int32) -> Void) {
    session.eachDescriptor(body)
    for index in memory.files.indices { body(&memory.files[index]) }
    interrupts.eachDescriptor(body)
  }
}

extension SessionRecord {
  fileprivate mutating func eachDescriptor(_ body: (inout Int32) -> Void) {
    body(&socket)
    received.eachDescriptor(body)
    for send in outgoing.sends.indices {
      for index in outgoing.sends[send].descriptors.indices {
        body(&outgoing.sends[send].descriptors[index])
      }
    }
    for message in parked.indices {
      for index in parked[message].descriptors.indices {
        body(&parked[message].descriptors[index])
      }
    }
    channel?.eachDescriptor(body)
  }
}

extension ChannelRecord {
  fileprivate mutating func eachDescriptor(_ body: (inout Int32) -> Void) {
    if var number = twin {
      body(&number)
      twin = number
    }
    received.eachDescriptor(body)
  }
}

extension StreamRecord {
  fileprivate mutating func eachDescriptor(_ body: (inout Int32) -> Void) {
    for index in descriptors.indices where descriptors[index].number >= 0 {
      body(&descriptors[index].number)
    }
  }
}

extension InterruptConnection {
  fileprivate mutating func eachDescriptor(_ body: (inout Int32) -> Void) {
    if intx >= 0 { body(&intx) }
    if unmask >= 0 { body(&unmask) }
    if unmaskEdges >= 0 { body(&unmaskEdges) }
    msi.eachDescriptor(body)
    msix.eachDescriptor(body)
    error.eachDescriptor(body)
    request.eachDescriptor(body)
  }
}

extension InterruptConnection.Vectors {
  fileprivate mutating func eachDescriptor(_ body: (inout Int32) -> Void) {
    for index in counters.indices where counters[index] >= 0 { body(&counters[index]) }
  }
}
