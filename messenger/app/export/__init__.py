"""What a person gets who asks for their data: a document for machines (`document`) and the same as a page for people
(`page`)."""
