import NVMeProtocol
import Testing
import VFIOUserServer

@testable import NVMeDevice

@Suite struct `The mailbox of a controller` {
  private func enabling() throws -> Mailbox.Event {
    let bus = try TestHost().device.context
    return .order(
      .enable(
        RegisterBlock.Enabling(
          configuration: ControllerConfiguration(rawValue: 1),
          attributes: AdminQueueAttributes(rawValue: 0), submissionQueue: 0, completionQueue: 0,
          access: bus.memory.access(), number: 1)))
  }

  /// Takes everything out, in short.
  private func drain(_ mailbox: Mailbox) -> [String] {
    var names: [String] = []
    while let event = mailbox.nextEvent() {
      switch event {
      case .order(.enable): names.append("enable")
      case .order(.disable): names.append("disable")
      case .order(.shutDown): names.append("shut down")
      case .order(.resetSubsystem): names.append("reset the subsystem")
      case .reset(let generation): names.append("reset \(generation)")
      case .clientLeft: names.append("left")
      case .adopt: names.append("adopt")
      case .measure: names.append("measure")
      case .limits: names.append("limits")
      case .suspend: names.append("suspend")
      case .resume: names.append("resume")
      case .close: names.append("close")
      }
    }
    return names
  }

  @Test func `The mailbox delivers its events in order`() throws {
    let mailbox = Mailbox()
    let events: [Mailbox.Event] = [
      .order(.shutDown), .order(.disable), try enabling(), .measure, .clientLeft, .close,
    ]
    for event in events { mailbox.post(event) }
    #expect(drain(mailbox) == ["shut down", "disable", "enable", "measure", "left", "close"])
    #expect(!mailbox.holdsEvents)
  }

  @Test func `The mailbox does not grow when a host enables and disables repeatedly`() throws {
    let (mailbox, enable) = (Mailbox(), try enabling())
    mailbox.post(enable)
    mailbox.post(.measure)
    for _ in 0..<1000 {
      mailbox.post(.order(.disable))
      mailbox.post(enable)
      mailbox.post(.order(.shutDown))
    }
    #expect(drain(mailbox) == ["measure", "disable", "enable", "shut down"])
  }

  @Test func `The mailbox does not grow with repeated resets, and the last generation counts`()
    throws
  {
    let (mailbox, enable) = (Mailbox(), try enabling())
    mailbox.post(.clientLeft)
    for generation in 2...1000 as ClosedRange<UInt64> {
      mailbox.post(enable)
      mailbox.post(.order(.resetSubsystem))
      mailbox.post(.reset(generation))
    }
    mailbox.post(enable)
    #expect(drain(mailbox) == ["left", "reset 1000", "enable"])
  }
}
