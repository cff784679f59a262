import Testing

@testable import vfio_user

@Suite struct `A suggestion for a mistyped name` {
  @Test(
    arguments: [
      ("nvm", "nvme"), ("nmve", "nvme"), ("scrach", "scratch"), ("seriall", "serial"),
      ("eud", "edu"),
      ("fly", nil), ("", nil), ("nvmenvmenvme", nil),
    ] as [(String, String?)])
  func `A suggestion for a mistyped name is the known name with the fewest changes, if few`(
    name: String, meant: String?
  ) {
    #expect(Suggestion.nearest(to: name, among: ["nvme", "serial", "edu", "scratch"]) == meant)
  }
}
