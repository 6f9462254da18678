"""For assistants: a Model Context Protocol server, and a retriever for LangChain."""
