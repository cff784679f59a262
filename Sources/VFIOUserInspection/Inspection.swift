/// What is known of the PCI configuration space and of messages, in words for people.
package enum Inspection {}
